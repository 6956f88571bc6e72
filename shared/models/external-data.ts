import { PeltonError, showValue } from '../sdk/errors.ts'
import { seeModels } from './models-page.ts'
import type { OnnxFile } from './onnx-file.ts'

/** What the runtime takes for an address in its own memory, and not for a file. */
const MEMORY_ADDRESS = '_ORT_MEM_ADDR_'

/**
 * The files that hold data of a model, by paths relative to its own folder, each once and in order. Throws
 * `model-refused` for a path that is none, is absolute, goes up, or names no file.
 */
export function locationsOf({ externalTensors }: Pick<OnnxFile, 'externalTensors'>): readonly string[] {
  const locations = new Set<string>()
  for (const { name, location } of externalTensors) {
    if (!isPlainPath(location)) throw badLocation(name, location)
    locations.add(
      location
        .split('/')
        .filter((part) => part !== '.')
        .join('/'),
    )
  }
  return [...locations].sort()
}

function isPlainPath(location: string): boolean {
  const parts = location.split('/')
  const isRelative = parts.every((part) => part !== '' && part !== '..') && parts.at(-1) !== '.'
  const isText = !/[\p{Cc}\p{Cs}\ufffd\\]/u.test(location) && location.length <= 1_024
  return isRelative && isText && !/^[A-Za-z]:/.test(location) && !location.includes(MEMORY_ADDRESS)
}

function badLocation(tensor: string, location: string): PeltonError {
  const where = location === '' ? 'nowhere' : showValue(location)
  return new PeltonError('model-refused', 'the model keeps data where it must not', {
    field: `tensor ${showValue(tensor)}`,
    value: `external data at ${where}`,
    remedy: `Keep it in a file beside model.onnx, in the folder of the version. ${seeModels('exporting')}`,
  })
}
