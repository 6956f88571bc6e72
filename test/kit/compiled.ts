import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compile } from '../../infra/scripts/compile.mjs'
import { COMPILED } from './program.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Below `node_modules`, so that what is compiled finds its packages; and nothing of it is ever committed. */
const PLACE = join(ROOT, 'node_modules/.cache/pelton-tests')

/**
 * Compiles Pelton where its sources changed, as `npm run pelton` does, and runs all processes of this run from a copy: what is
 * edited and compiled meanwhile is for the next run. Removes it at the end. `PELTON_TEST_COMPILED=` (empty) runs them from
 * source.
 */
export async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env[COMPILED] !== undefined) {
    if (process.env[COMPILED] === '') delete process.env[COMPILED]
    return undefined // of another project of this run
  }
  const output = compile((text) => process.stderr.write(`${text}\n`))
  await mkdir(PLACE, { recursive: true })
  const folder = await mkdtemp(`${PLACE}/`)
  for (const part of ['services', 'shared'])
    await cp(join(output, part), join(folder, part), { recursive: true })
  process.env[COMPILED] = folder
  return () => rm(folder, { recursive: true, force: true })
}
