import type { ErrorCode, PeltonError } from '../errors.ts'
import { type EncodedBody, joinBody, splitBody } from './body-sections.ts'
import { recogniseEnvelope } from './foreign-data.ts'
import { isJsonObject, type JsonObject, parseJson } from './json.ts'
import {
  type EventFields,
  type Features,
  type Parameters,
  type RequestFields,
  readEventFields,
  readFeatures,
  readId,
  readParameters,
  writeFeatures,
  writeFields,
  writeOutputs,
} from './request-fields.ts'
import type { Tensor } from './tensor.ts'
import {
  type BinaryChoice,
  checkNothingLeft,
  malformed,
  readName,
  readTensors,
  type TensorLimits,
  writeRawTensors,
  writeTensors,
} from './tensor-list.ts'

export type { EncodedBody } from './body-sections.ts'
export type {
  EventFields,
  Features,
  FeatureValue,
  OutputRequest,
  Parameters,
  ParameterValue,
  RequestFields,
} from './request-fields.ts'
export type { BinaryChoice, TensorLimits } from './tensor-list.ts'

/** What an event carries: tensors, or one record of named scalars that the model's manifest turns into tensors. */
export type EventData =
  | (EventFields & { readonly kind: 'tensors'; readonly inputs: readonly Tensor[] })
  | (EventFields & { readonly kind: 'features'; readonly features: Features })

/** The body of a prediction. */
export interface InferenceResponse {
  readonly modelName: string
  readonly modelVersion: string
  readonly id?: string
  readonly outputs: readonly Tensor[]
  readonly parameters?: Parameters
}

const REQUEST_KEYS: ReadonlySet<string> = new Set(['id', 'parameters', 'inputs', 'features', 'outputs'])
/** What KServe's client writes into every request. The subject of an event names its model, and these count for nothing. */
const IGNORED_KEYS: ReadonlySet<string> = new Set(['model_name', 'model_version'])

/**
 * Reads the data of an event: an Open Inference Protocol V2 request (JSON, or Triton's binary form), or
 * `{"features": {…}}`. `contentType` and `inferenceHeaderLength` are the values of `ce-datacontenttype` and
 * `Inference-Header-Content-Length`. Throws `malformed` (cannot be read), `schema-mismatch` (a tensor or feature is
 * inconsistent in itself) or `too-large` (over `limits`); whether the model takes it is not looked at.
 */
export function decodeEventData(
  contentType: string | undefined,
  inferenceHeaderLength: string | undefined,
  body: Uint8Array,
  limits: TensorLimits = {},
): EventData {
  const sections = splitBody(contentType, inferenceHeaderLength, body)
  const root = parseJson(sections.json)
  if (!isJsonObject(root)) throw malformed('data', root, 'the data must be a JSON object')
  for (const key of Object.keys(root)) {
    if (!REQUEST_KEYS.has(key) && !IGNORED_KEYS.has(key)) throw unknownKey(root, key)
  }
  const hasInputs = Object.hasOwn(root, 'inputs')
  if (hasInputs === Object.hasOwn(root, 'features')) {
    const found = hasInputs ? 'both' : 'neither'
    throw malformed('data', found, 'a request needs exactly one of inputs and features', 'Send one of them.')
  }
  const fields = readEventFields(root)
  if (hasInputs) {
    const inputs = readTensors('inputs', root.inputs, sections.tensors, limits)
    return { kind: 'tensors', inputs, ...fields }
  }
  if (sections.tensors !== undefined) checkNothingLeft({ bytes: sections.tensors, at: 0 })
  return { kind: 'features', features: readFeatures(root.features), ...fields }
}

function unknownKey(root: JsonObject, key: string): PeltonError {
  const foreign = recogniseEnvelope(root)
  return foreign === undefined
    ? malformed('data', key, 'a request has no such key', `Known keys are ${[...REQUEST_KEYS].join(', ')}.`)
    : malformed('data', key, `this is ${foreign.kind}, not a request`, foreign.remedy)
}

/** Which outputs of an event's prediction are wanted as raw bytes, for {@link encodeResponse}. */
export function binaryOutputsOf(event: Pick<EventData, 'outputs' | 'parameters'>): BinaryChoice {
  const isDefault =
    Object.hasOwn(event.parameters, 'binary_data_output') && event.parameters.binary_data_output
  if (event.outputs === undefined) return isDefault === true
  const wanted = event.outputs.filter((output) => output.binary ?? isDefault === true)
  return new Set(wanted.map((output) => output.name))
}

/** Reads the body of a prediction. Unknown keys are ignored, so newer workers can say more. Throws as {@link decodeEventData}. */
export function decodeResponse(
  contentType: string | undefined,
  inferenceHeaderLength: string | undefined,
  body: Uint8Array,
): InferenceResponse {
  const sections = splitBody(contentType, inferenceHeaderLength, body)
  const root = parseJson(sections.json)
  if (!isJsonObject(root)) throw malformed('data', root, 'the prediction must be a JSON object')
  return {
    modelName: readName(root.model_name, 'model_name'),
    modelVersion: readName(root.model_version, 'model_version'),
    outputs: readTensors('outputs', root.outputs, sections.tensors, {}),
    ...(root.id === undefined ? {} : { id: readId(root.id) }),
    ...(root.parameters === undefined ? {} : { parameters: readParameters(root.parameters, 'parameters') }),
  }
}

/**
 * Writes the body of a prediction; `options.binary` (default false) says which outputs become raw bytes.
 * Throws `invalid-output` when an output's data does not fit its shape and datatype, `too-large` as soon as one of them
 * takes more than `options.maxBytes` as JSON.
 */
export function encodeResponse(
  response: InferenceResponse,
  options: { readonly binary?: BinaryChoice; readonly maxBytes?: number } = {},
): EncodedBody {
  const { modelName, modelVersion, outputs } = response
  const version = JSON.stringify(modelVersion)
  const head = `"model_name":${JSON.stringify(modelName)},"model_version":${version}`
  const fields = `${head}${writeFields(response, 'invalid-output')}`
  return encodeTensors(
    'outputs',
    outputs,
    fields,
    options.binary ?? false,
    'invalid-output',
    options.maxBytes,
  )
}

/**
 * Writes a request body of tensors, none for a model without inputs; `options.binary` (default false) says which
 * inputs become raw bytes.
 * Throws `invalid-argument` when an input's data does not fit its shape and datatype.
 */
export function encodeRequest(
  request: RequestFields & { readonly inputs: readonly Tensor[] },
  options: { readonly binary?: BinaryChoice } = {},
): EncodedBody {
  const fields = `${writeFields(request, 'invalid-argument')}${writeOutputs(request.outputs)}`
  return encodeTensors('inputs', request.inputs, fields.slice(1), options.binary ?? false, 'invalid-argument')
}

/**
 * Writes a request body of named scalars. Bigints keep every digit; NaN and infinities become the strings that
 * {@link decodeEventData} leaves as they are. Throws `invalid-argument` for other values than scalars.
 */
export function encodeFeatures(request: RequestFields & { readonly features: Features }): EncodedBody {
  const fields = `${writeFields(request, 'invalid-argument')}${writeOutputs(request.outputs)}`
  return joinBody(`{"features":${writeFeatures(request.features)}${fields}}`, undefined, () => {})
}

function encodeTensors(
  list: 'inputs' | 'outputs',
  tensors: readonly Tensor[],
  fields: string,
  binary: BinaryChoice,
  code: ErrorCode,
  maxBytes?: number,
): EncodedBody {
  const { json, rawBytes } = writeTensors(list, tensors, binary, code, maxBytes)
  const text = `{${fields}${fields === '' ? '' : ','}"${list}":${json}}`
  return joinBody(text, rawBytes, (target, offset) => writeRawTensors(tensors, binary, target, offset))
}
