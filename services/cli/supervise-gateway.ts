import { eventHeapFlags } from '../../shared/runtime/heap-flags.ts'
import { parseLogLine } from '../../shared/runtime/log-line.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { Supervisor } from '../../shared/runtime/supervisor.ts'
import { DEFAULT_GATEWAY_PORT } from '../gateway/config.ts'
import { isFree } from './free-port.ts'
import { reportLine } from './workers.ts'

export interface SuperviseGatewayOptions {
  readonly env: NodeJS.ProcessEnv
  /** Told restarts, warnings and errors. */
  readonly note: (text: string) => void
  /** Told where it listens, each time it has started. */
  readonly onServing: (address: string, needsKeys: boolean) => void
}

/** Keeps a gateway running until stopped: at its usual port where that is free and no other is asked for. */
export async function superviseGateway(options: SuperviseGatewayOptions): Promise<Supervisor> {
  const { env, note, onServing } = options
  const isTaken = !env.PELTON_GATEWAY_PORT && !(await isFree(DEFAULT_GATEWAY_PORT))
  const { url, execArgv } = siblingEntry(import.meta.url, '../gateway/main')
  return new Supervisor({
    entry: { url, execArgv: [...eventHeapFlags(env), ...execArgv] },
    count: 1,
    // The port of health and metrics is the first worker's.
    env: () => ({ ...env, PELTON_HTTP_PORT: '', ...(isTaken && { PELTON_GATEWAY_PORT: '0' }) }),
    onLine: (line) => {
      const entry = parseLogLine(line)
      if (entry?.msg === 'serving') onServing(String(entry.address), entry.needsKeys === true)
      else reportLine(line, 'gateway', note)
    },
    // The supervisor counts workers; this is the only one of its kind.
    note: (text) => note(text.replace(/^worker 1\b/, 'the gateway')),
  })
}
