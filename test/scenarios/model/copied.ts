import { cp, mkdtemp } from 'node:fs/promises'
import { join } from 'node:path'
import type { ScenarioModel } from '../contestants/contestant.ts'

/**
 * The same model in a folder of models of its own, to which something may be added.
 *
 * @param folder in which that folder is made
 */
export async function copied(model: ScenarioModel, folder: string): Promise<ScenarioModel> {
  const models = await mkdtemp(join(folder, 'models-'))
  await cp(join(model.folder, model.name), join(models, model.name), { recursive: true })
  const version = model.path.split('/').at(-2) ?? ''
  return { name: model.name, folder: models, path: join(models, model.name, version, 'model.onnx') }
}
