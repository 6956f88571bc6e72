import { copyFile, cp, mkdir, open, readFile, rename, rm, symlink, writeFile } from 'node:fs/promises'
import { dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'

/** y = x + bias; the bias lies in {@link DATA_FILE}, beside `model.onnx`. */
export const MOVED_MODEL = 'external-beside'
const MODEL_FILE = 'model.onnx'
const DATA_FILE = 'weights.bin'
const BIAS = Float32Array.of(0.5, -0.25)
/** Another model of the same signature: served by mistake it answers, and wrongly. */
const OTHER_BIAS = Float32Array.of(1_000, 2_000)
/** y = x, of the same signature. */
const OTHER_MODEL = fileURLToPath(new URL('../../models/identity-fp32.onnx', import.meta.url))

/** Writes the data that the model of {@link MOVED_MODEL} in this models folder names. */
export function writeData(models: string): Promise<void> {
  return writeFile(join(models, MOVED_MODEL, '1', DATA_FILE), new Uint8Array(BIAS.buffer))
}

/** What becomes of the folder of one model while everything else goes on. */
export interface ModelFolder {
  takeAway(): Promise<void>
  /** A link to another worktree stands in its place, which holds another model under the same name and version. */
  flip(): Promise<void>
  /** It is being copied, and only half of it is there. */
  copyHalf(): Promise<void>
  bringBack(): Promise<void>
  /** Both files hold those of other models, in place: the very files that were there. */
  overwrite(): Promise<void>
  /** They hold their own again, in place. */
  restore(): Promise<void>
}

export function folderOf(models: string): ModelFolder {
  const place = join(models, MOVED_MODEL)
  const away = join(models, `.away-${MOVED_MODEL}`)
  const worktree = join(models, `.worktree-${MOVED_MODEL}`)
  const [model, data] = [join(place, '1', MODEL_FILE), join(place, '1', DATA_FILE)]
  const clear = (): Promise<void> => rm(place, { recursive: true, force: true })
  let own: readonly Uint8Array[] = []
  return {
    takeAway: () => rename(place, away),
    async flip() {
      await cp(away, worktree, { recursive: true })
      await writeFile(join(worktree, '1', DATA_FILE), new Uint8Array(OTHER_BIAS.buffer))
      await clear()
      await symlink(worktree, place)
    },
    async copyHalf() {
      await clear()
      await mkdir(dirname(model), { recursive: true })
      await copyFile(join(away, '1', DATA_FILE), data)
      const whole = await readFile(join(away, '1', MODEL_FILE))
      await writeFile(model, whole.subarray(0, whole.length / 2))
    },
    async bringBack() {
      await clear()
      await rename(away, place)
    },
    async overwrite() {
      own = [await readFile(data), await readFile(model)]
      await writeInPlace(data, new Uint8Array(OTHER_BIAS.buffer))
      await writeInPlace(model, await readFile(OTHER_MODEL))
    },
    async restore() {
      const [ownData = new Uint8Array(), ownModel = new Uint8Array()] = own
      await writeInPlace(data, ownData)
      await writeInPlace(model, ownModel)
    },
  }
}

async function writeInPlace(path: string, bytes: Uint8Array): Promise<void> {
  const file = await open(path, 'r+')
  try {
    await file.truncate(0)
    await file.write(bytes, 0, bytes.length, 0)
  } finally {
    await file.close()
  }
}
