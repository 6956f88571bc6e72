import { PeltonError, showValue } from '../../../../shared/sdk/errors.ts'

/** What is asked of a model. `metadata` has no word in the path. */
export type ModelAct = 'metadata' | 'ready' | 'infer' | 'stats' | NotOffered

/** What other servers answer of a model, and this one does not. */
const NOT_OFFERED = ['config', 'generate', 'generate_stream', 'infer_stream', 'trace/setting'] as const
type NotOffered = (typeof NOT_OFFERED)[number]

/** The words that a path may end with. */
export const ACTS: readonly Exclude<ModelAct, 'metadata'>[] = ['ready', 'infer', 'stats', ...NOT_OFFERED]

/** A path below `/v2/models/`. */
export type ModelPath =
  | { readonly model: string; readonly version: string | undefined; readonly act: ModelAct }
  /** `/v2/models/stats`: statistics of all models. */
  | { readonly model: undefined; readonly version: undefined; readonly act: 'stats' }

/** What paths of models begin with. */
export const MODELS_PATH = '/v2/models/'

/** Whether an act is one that other servers have. */
export function isNotOffered(act: ModelAct): act is NotOffered {
  return (NOT_OFFERED as readonly string[]).includes(act)
}

/**
 * Reads what stands behind `/v2/models/` in a path, not decoded yet: `<model>[/versions/<version>][/<act>]`. A name may
 * have slashes, as Triton's client sends them; where a name would be read as something else, its slashes are sent as
 * `%2F`, and the name `stats` as `%73tats`.
 *
 * @returns undefined where no model is named
 * @throws PeltonError `malformed` for broken percent-encoding
 */
export function readModelPath(path: string): ModelPath | undefined {
  const segments = (path.endsWith('/') ? path.slice(0, -1) : path).split('/')
  if (segments.includes('')) return undefined
  if (segments.length === 1 && segments[0] === 'stats')
    return { model: undefined, version: undefined, act: 'stats' }
  const act = takeAct(segments)
  const version = takeVersion(segments)
  return { model: segments.map(decode).join('/'), version, act }
}

/** Takes the word of an act off the end: at least one segment is left for the name. */
function takeAct(segments: string[]): ModelAct {
  const act = ACTS.find((word) => {
    const length = word.split('/').length
    return segments.length > length && segments.slice(-length).join('/') === word
  })
  if (act === undefined) return 'metadata'
  segments.splice(-act.split('/').length)
  return act
}

function takeVersion(segments: string[]): string | undefined {
  if (segments.length < 3 || segments.at(-2) !== 'versions') return undefined
  const [, version = ''] = segments.splice(-2)
  return decode(version)
}

function decode(segment: string): string {
  try {
    return decodeURIComponent(segment)
  } catch (cause) {
    const details = { field: 'path', value: showValue(segment), remedy: 'Percent-encode names as UTF-8.' }
    throw new PeltonError('malformed', 'the percent-encoding of the path is broken', details, cause)
  }
}
