import { cp, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { compileTo } from '../../infra/scripts/compile.mjs'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { COMPILED } from './program.ts'

const ROOT = fileURLToPath(new URL('../..', import.meta.url))
/** Below `node_modules`, so that what is compiled finds its packages; and nothing of it is ever committed. */
const PLACE = join(ROOT, 'node_modules/.cache/pelton-tests')
/** Pelton, and the processes of tests. */
const PROJECT = 'test/kit/tsconfig.json'

/**
 * Compiles Pelton, and the processes that are parts of tests, once for all files of a run, as production does: the many
 * processes that tests start are up in half the time it takes them from source. Removes it at the end.
 * `PELTON_TEST_COMPILED=` (empty) runs them from source.
 */
export async function setup(): Promise<(() => Promise<void>) | undefined> {
  if (process.env[COMPILED] !== undefined) {
    if (process.env[COMPILED] === '') delete process.env[COMPILED]
    return undefined // of another project of this run
  }
  await mkdir(PLACE, { recursive: true })
  const folder = await mkdtemp(`${PLACE}/`)
  const remove = (): Promise<void> => rm(folder, { recursive: true, force: true })
  try {
    compileTo(folder, PROJECT)
    const latest = 'flight-delay/2'
    await cp(join(DEMO_MODELS, latest), join(folder, 'latest-models', latest), { recursive: true })
  } catch (thrown) {
    await remove()
    throw thrown
  }
  process.env[COMPILED] = folder
  // Workers copy the models they serve: those of a run share a place that goes with it.
  process.env.PELTON_COPIES = join(folder, 'copies')
  return remove
}
