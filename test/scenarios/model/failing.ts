import { copyFile, mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import type { ScenarioModel } from '../contestants/contestant.ts'
import { copied } from './copied.ts'

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
  const copy = await copied(model, folder)
  const place = join(copy.folder, FAILING)
  await mkdir(join(place, '1'), { recursive: true })
  await copyFile(FILE, join(place, '1', 'model.onnx'))
  await writeFile(join(place, 'manifest.yaml'), MANIFEST)
  return copy
}
