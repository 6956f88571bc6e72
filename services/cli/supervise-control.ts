import { parseLogLine } from '../../shared/runtime/log-line.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { Supervisor } from '../../shared/runtime/supervisor.ts'
import { DEFAULT_CONTROL_PORT } from '../control/config.ts'
import { isFree } from './free-port.ts'
import { reportLine } from './workers.ts'

export interface SuperviseControlOptions {
  readonly env: NodeJS.ProcessEnv
  /** Where a generated token is kept. */
  readonly dataDir: string
  /** Folder of durable marks. */
  readonly marksFolder: string
  /** Told where it listens, restarts, warnings and errors. */
  readonly note: (text: string) => void
}

/** Keeps a control service running until stopped: at its usual port where that is free and no other is asked for. */
export async function superviseControl(options: SuperviseControlOptions): Promise<Supervisor> {
  const { env, dataDir, marksFolder, note } = options
  const isTaken = !env.PELTON_CONTROL_PORT && !(await isFree(DEFAULT_CONTROL_PORT))
  return new Supervisor({
    entry: siblingEntry(import.meta.url, '../control/main'),
    count: 1,
    env: () => ({
      ...{ ...env, PELTON_DATA: dataDir, PELTON_MARKS_FOLDER: marksFolder },
      ...(isTaken && { PELTON_CONTROL_PORT: '0' }),
    }),
    onLine: (line) => showLine(line, note),
    // The supervisor counts workers; this is the only one of its kind.
    note: (text) => note(text.replace(/^worker 1\b/, 'the control service')),
  })
}

function showLine(line: string, note: (text: string) => void): void {
  const entry = parseLogLine(line)
  if (entry?.msg === 'serving')
    note(`control: ${entry.address}, token in ${entry.tokenFile ?? 'PELTON_CONTROL_TOKEN'}`)
  else reportLine(line, 'control', note)
}
