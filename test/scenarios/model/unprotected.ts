import { appendFile, cp, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { ScenarioModel } from '../contestants/contestant.ts'

/** What a manifest says beside what it says already. */
const OFF = '\nadmission:\n  mode: off\n'

/**
 * The same model, with nothing that protects it.
 *
 * @param folder in which a folder of models is made for it
 */
export async function unprotected(model: ScenarioModel, folder: string): Promise<ScenarioModel> {
  const models = await mkdtemp(join(folder, 'unprotected-'))
  await cp(join(model.folder, model.name), join(models, model.name), { recursive: true })
  const version = model.path.split('/').at(-2) ?? ''
  await appendFile(join(models, model.name, version, 'manifest.yaml'), OFF)
  return { name: model.name, folder: models, path: join(models, model.name, version, 'model.onnx') }
}
