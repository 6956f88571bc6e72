import { appendFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import type { ScenarioModel } from '../contestants/contestant.ts'
import { copied } from './copied.ts'

/** What a manifest says beside what it says already. */
const OFF = '\nadmission:\n  mode: off\n'

/**
 * The same model, with nothing that protects it.
 *
 * @param folder in which a folder of models is made for it
 */
export async function unprotected(model: ScenarioModel, folder: string): Promise<ScenarioModel> {
  const copy = await copied(model, folder)
  await appendFile(join(dirname(copy.path), 'manifest.yaml'), OFF)
  return copy
}
