import { readdir } from 'node:fs/promises'
import { join } from 'node:path'
import { isNoise, isVersion } from '../../../shared/models/folder-names.ts'
import { type Finding, fail, ok } from '../../../shared/operations/broker/finding.ts'

/** Whether the models folder can be read and holds models. Whether they can be served is `models check`. */
export async function checkModelsFolder(folder: string): Promise<readonly Finding[]> {
  const versions: string[] = []
  try {
    for (const model of await readdir(folder, { withFileTypes: true })) {
      if (model.isFile() || isNoise(model.name)) continue
      const entries = await readdir(join(folder, model.name))
      versions.push(...entries.filter(isVersion).map((name) => `${model.name}/${name}`))
    }
  } catch (thrown) {
    const code = thrown instanceof Error && 'code' in thrown ? String(thrown.code) : 'unreadable'
    return [
      fail(
        'models',
        `${folder} cannot be read (${code})`,
        'Name a folder that exists with --models or PELTON_MODELS.',
      ),
    ]
  }
  if (versions.length === 0)
    return [fail('models', `${folder} holds no model`, 'Put models there as <name>/<version>/model.onnx.')]
  return [ok('models', `${folder}: ${versions.join(', ')}; \`pelton models check\` tries them`)]
}
