import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'

/** Folder of the compiled programs of this run, set by compiled.ts. Without it programs run from source. */
export const COMPILED = 'PELTON_TEST_COMPILED'

export type ProgramName =
  | `services/${'worker' | 'control' | 'gateway' | 'cli'}/main`
  | `services/demo/${'send-flights' | 'count-answers'}`
  | `test/integration/${string}-process`

/** How a program of Pelton, or of a test, is started: `spawn(process.execPath, programArgs('services/worker/main'))`. */
export function programArgs(name: ProgramName, isFromSource = false): string[] {
  const folder = isFromSource ? undefined : process.env[COMPILED]
  if (folder !== undefined) return [join(folder, `${name}.js`)]
  const { url, execArgv } = siblingEntry(import.meta.url, `../../${name}`)
  return [...execArgv, fileURLToPath(url)]
}
