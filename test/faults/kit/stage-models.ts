import { copyFile, cp, mkdir, mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { onTestFinished } from 'vitest'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'

const FIXTURES = fileURLToPath(new URL('../../models', import.meta.url))

/**
 * A models folder with the demo's model and fixtures of `test/models`, each as version 1, with a manifest where one is
 * given. Removed when the test has ended.
 */
export async function stageModels(fixtures: Readonly<Record<string, string>>): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-models-'))
  onTestFinished(() => rm(folder, { recursive: true, force: true }))
  await cp(join(DEMO_MODELS, DEMO_MODEL), join(folder, DEMO_MODEL), { recursive: true })
  for (const [name, manifest] of Object.entries(fixtures)) {
    await mkdir(join(folder, name, '1'), { recursive: true })
    await copyFile(join(FIXTURES, `${name}.onnx`), join(folder, name, '1', 'model.onnx'))
    if (manifest !== '') await writeFile(join(folder, name, 'manifest.yaml'), manifest)
  }
  return folder
}
