import { createHash } from 'node:crypto'
import { readdirSync, readFileSync, statSync } from 'node:fs'
import { mkdir, readFile } from 'node:fs/promises'
import { createRequire } from 'node:module'
import { cpus } from 'node:os'
import { basename, dirname, join } from 'node:path'
import { fileURLToPath } from 'node:url'
import { serialize } from 'node:v8'
import { type CopiesOptions, writeWhole } from './copy-place.ts'
import type { Inspection, InspectionRequest, Inspector, InspectorOptions } from './inspect.ts'
import { parseSignature } from './signature.ts'
import { findGathered } from './version-files.ts'

/**
 * An inspector that remembers, beside the copies of a machine, what it has found: a worker that starts again asks no
 * process for what one before it has seen. Remembered is only that a model is served, and only for the same bytes, manifest,
 * limits, runtime, processor and inspecting code: what is refused is tried each time, because the place may have been at fault.
 */
export function rememberVerdicts(
  inspector: Inspector,
  copies: CopiesOptions,
  limits: InspectorOptions = {},
): Inspector {
  const pathOf = ({ path, manifest }: InspectionRequest): string => {
    // Golden samples have integers beyond 2^53, which JSON does not write, and NaN and infinities, which it takes for one.
    const key = createHash('sha256')
      .update(serialize([where(), limits, manifest]))
      .digest('hex')
    return join(copies.folder, 'verdicts', basename(dirname(path)), key.slice(0, 32))
  }
  return {
    gather: async (request) => (await findGathered(request)) ?? inspector.gather(request),
    async inspect(request) {
      const path = pathOf(request)
      const known = await readVerdict(path)
      if (known !== undefined) return known
      const inspection = await inspector.inspect(request)
      // Without room for it the next worker inspects once more.
      await writeVerdict(path, inspection).catch(() => undefined)
      return inspection
    },
    close: () => inspector.close(),
  }
}

/** A folder of the user alone holds it: it is as it was written, or was cut off. */
async function readVerdict(path: string): Promise<Inspection | undefined> {
  try {
    const inspection = JSON.parse(await readFile(path, 'utf8')) as Inspection
    return { ...inspection, signature: parseSignature(inspection.signature) }
  } catch {
    return undefined
  }
}

async function writeVerdict(path: string, inspection: Inspection): Promise<void> {
  await mkdir(dirname(path), { recursive: true, mode: 0o700 })
  await writeWhole(path, JSON.stringify(inspection))
}

let place: string | undefined

/** What a verdict depends on beside the model: the inspecting code, the runtime, the processor. */
function where(): string {
  place ??= JSON.stringify([codeStamp(), runtimeVersion(), process.version, process.arch, cpus()[0]?.model])
  return place
}

/** Changes with every file of this folder, which holds all that inspects a model. */
function codeStamp(): string {
  const folder = dirname(fileURLToPath(import.meta.url))
  return readdirSync(folder)
    .sort()
    .map((name) => {
      const { size, mtimeMs } = statSync(join(folder, name))
      return `${name}:${size}:${mtimeMs}`
    })
    .join()
}

function runtimeVersion(): string {
  const path = createRequire(import.meta.url).resolve('onnxruntime-node/package.json')
  return (JSON.parse(readFileSync(path, 'utf8')) as { readonly version: string }).version
}
