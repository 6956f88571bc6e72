import { copyFile, cp, mkdir, mkdtemp, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ScenarioModel } from '../contestants/contestant.ts'

/** A model that runs on no flight. */
export const FAILING = 'always-failing'

/** It looks up a thousand rows before the hour of the flight, in a table of four rows. */
const FILE = fileURLToPath(new URL('../../models/gather.onnx', import.meta.url))
const MANIFEST = 'inputs: { index: hour }\nunknownFeatures: ignore\n'

/**
 * The same model, with one beside it that fails on everything it gets.
 *
 * @param folder in which a folder of models is made for both
 */
export async function withFailing(model: ScenarioModel, folder: string): Promise<ScenarioModel> {
  const models = await mkdtemp(join(folder, 'with-failing-'))
  await cp(join(model.folder, model.name), join(models, model.name), { recursive: true })
  await mkdir(join(models, FAILING, '1'), { recursive: true })
  await copyFile(FILE, join(models, FAILING, '1', 'model.onnx'))
  await writeFile(join(models, FAILING, 'manifest.yaml'), MANIFEST)
  const version = model.path.split('/').at(-2) ?? ''
  return { name: model.name, folder: models, path: join(models, model.name, version, 'model.onnx') }
}
