import { copyFile, mkdir, mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { COMPILED } from './program.ts'

const FIXTURES = fileURLToPath(new URL('../models', import.meta.url))

/**
 * The demo's models in the version that serves, and no other: each version is tried in a process of its own whenever a
 * worker starts, and most tests ask for one. From source, where nothing was compiled, all versions.
 */
export function latestModels(): string {
  const compiled = process.env[COMPILED]
  return compiled === undefined ? DEMO_MODELS : join(compiled, 'latest-models')
}

/** A models folder made of fixtures of `test/models`, each as version 1 under its own name. */
export async function modelsFolder(
  names: readonly string[],
): Promise<{ readonly path: string; remove(): Promise<void> }> {
  const path = await mkdtemp(join(tmpdir(), 'pelton-models-'))
  for (const name of names) {
    await mkdir(join(path, name, '1'), { recursive: true })
    await copyFile(join(FIXTURES, `${name}.onnx`), join(path, name, '1', 'model.onnx'))
  }
  return { path, remove: () => rm(path, { recursive: true, force: true }) }
}
