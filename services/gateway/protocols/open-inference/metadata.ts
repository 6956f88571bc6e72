import type {
  ModelRecord,
  RecordedTensor,
  RecordedVersion,
} from '../../../../shared/operations/models/model-record.ts'
import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'

/** What a model takes and gives, as the protocol's metadata has it; -1 is a dimension of any size. */
export interface ModelMetadata {
  readonly name: string
  /** Those that are served now, or had been where none is. */
  readonly versions: readonly string[]
  readonly platform: string
  readonly inputs: readonly TensorMetadata[]
  readonly outputs: readonly TensorMetadata[]
}

interface TensorMetadata {
  readonly name: string
  readonly datatype: string
  readonly shape: readonly number[]
}

/** Triton's name for models in ONNX files. */
const PLATFORM = 'onnxruntime_onnx'

/**
 * Metadata of a model from its pool's record: of the version that is asked for, or of the one that answers requests which
 * name none.
 *
 * @param served versions that some worker serves
 * @throws PeltonError `unknown-model` for a version that nobody of the pool has served
 */
export function metadataOf(
  record: ModelRecord,
  served: readonly string[],
  version: string | undefined,
): ModelMetadata {
  const versions = ascending(served.length > 0 ? served : Object.keys(record.versions))
  const { signature } = recordedVersion(record, version ?? versions.at(-1))
  return {
    name: record.model,
    versions: version === undefined ? versions : [version],
    platform: PLATFORM,
    inputs: signature.inputs.map(describeTensor),
    outputs: signature.outputs.map(describeTensor),
  }
}

/** @throws PeltonError `unknown-model` for a version that nobody of the pool has served */
export function recordedVersion(record: ModelRecord, version: string | undefined): RecordedVersion {
  const { model, versions } = record
  const found = version !== undefined && Object.hasOwn(versions, version) ? versions[version] : undefined
  if (found !== undefined) return found
  const known = ascending(Object.keys(versions))
  throw new PeltonError('unknown-model', `no worker has served this version of ${showValue(model)} yet`, {
    field: 'version',
    value: version === undefined ? 'nothing' : showValue(version),
    remedy:
      known.length === 0 ? 'Ask again once a worker serves it.' : `Its versions are ${known.join(', ')}.`,
  })
}

function describeTensor({ name, datatype, shape }: RecordedTensor): TensorMetadata {
  return { name, datatype, shape: shape.map((dimension) => dimension ?? -1) }
}

/** A version of a model in the repository index. */
export interface IndexEntry {
  readonly name: string
  readonly version?: string
  readonly state: 'READY' | 'UNAVAILABLE'
  readonly reason: string
}

/** What the repository index says of a model: an entry for each version that was served, and for what is refused. */
export function indexEntries(record: ModelRecord, served: readonly string[]): readonly IndexEntry[] {
  const { model: name, versions } = record
  const refused = Object.values(record.refusing)
  const known = new Set([...Object.keys(versions), ...refused.flatMap(({ version }) => version ?? [])])
  const whole = refused.find(({ version }) => version === undefined)
  if (known.size === 0)
    return [{ name, state: 'UNAVAILABLE', reason: whole?.reason ?? 'no worker serves it' }]
  return ascending([...known]).map((version): IndexEntry => {
    if (served.includes(version)) return { name, version, state: 'READY', reason: '' }
    const own = refused.find((each) => each.version === version) ?? whole
    return { name, version, state: 'UNAVAILABLE', reason: own?.reason ?? 'no worker serves it' }
  })
}

/** Versions are numbers: the highest is the last. */
function ascending(versions: readonly string[]): readonly string[] {
  return [...versions].sort((left, right) => Number(left) - Number(right))
}
