import { type ErrorCode, PeltonError } from '../errors.ts'
import {
  isJsonObject,
  isPlainNumber,
  type JsonObject,
  type JsonValue,
  numberToJson,
  showJson,
} from './json.ts'
import { isCarriedText } from './tensor.ts'
import { checkNoSharedMemory, malformed, readName } from './tensor-list.ts'

/** An output a producer asks for by name. */
export interface OutputRequest {
  readonly name: string
  /** Whether it is wanted as raw bytes; absent: as `parameters.binary_data_output` of the event says, else JSON. */
  readonly binary?: boolean
}

export type ParameterValue = string | number | boolean
export type Parameters = Readonly<Record<string, ParameterValue>>

/** One feature: a scalar. `null` is a missing value, for which a manifest may have a default. */
export type FeatureValue = number | bigint | string | boolean | null
/** Features by name. Read by untrusted names with `Object.hasOwn`: it inherits from `Object.prototype`. */
export type Features = Readonly<Record<string, FeatureValue>>

/** What stands beside the tensors or features of an event. */
export interface EventFields {
  /** The producer's own id of the request, echoed in the answer. */
  readonly id?: string
  /** Outputs asked for; absent: all. */
  readonly outputs?: readonly OutputRequest[]
  readonly parameters: Parameters
}

/** What a producer says around its tensors or features. */
export interface RequestFields {
  readonly id?: string
  readonly outputs?: readonly OutputRequest[]
  readonly parameters?: Parameters
}

const NO_PARAMETERS: Parameters = Object.freeze({})
const OUTPUT_KEYS: ReadonlySet<string> = new Set(['name', 'parameters'])

/** Reads `id`, `outputs` (an empty list asks for all, like none) and `parameters`. Throws `malformed`. */
export function readEventFields(root: JsonObject): EventFields {
  const fields: { id?: string; outputs?: readonly OutputRequest[]; parameters: Parameters } = {
    parameters: root.parameters === undefined ? NO_PARAMETERS : readParameters(root.parameters, 'parameters'),
  }
  if (root.id !== undefined) fields.id = readId(root.id)
  if (root.outputs !== undefined) {
    const outputs = readOutputs(root.outputs)
    if (outputs.length > 0) fields.outputs = outputs
  }
  return fields
}

/** Throws `malformed` unless it is well-formed text without NUL. */
export function readId(value: JsonValue): string {
  if (typeof value === 'string' && isCarriedText(value)) return value
  throw malformed('id', value, 'an id must be a string of well-formed text')
}

/** Throws `malformed` unless every value is a string, boolean or number. Gives the parsed object itself. */
export function readParameters(value: JsonValue, field: string): Parameters {
  if (!isJsonObject(value)) throw malformed(field, value, 'parameters must be an object')
  for (const name of Object.keys(value)) {
    const parameter = value[name]
    if (typeof parameter !== 'string' && typeof parameter !== 'number' && typeof parameter !== 'boolean') {
      const remedy = 'Send a string, a boolean or a number within 2^53; longer integers as strings.'
      throw malformed(
        pathOf(field, name),
        parameter,
        'a parameter must be a string, number or boolean',
        remedy,
      )
    }
  }
  return value as Parameters // every value was checked
}

function readOutputs(value: JsonValue): OutputRequest[] {
  if (!Array.isArray(value)) throw malformed('outputs', value, 'outputs must be an array')
  const names = new Set<string>()
  return value.map((item: JsonValue, index) => {
    const output = readOutput(item, `outputs[${index}]`)
    if (names.has(output.name))
      throw malformed(`outputs[${index}].name`, output.name, 'this name appears twice')
    names.add(output.name)
    return output
  })
}

function readOutput(value: JsonValue, field: string): OutputRequest {
  if (!isJsonObject(value)) throw malformed(field, value, 'an output must be an object with a name')
  for (const key of Object.keys(value)) {
    if (!OUTPUT_KEYS.has(key)) throw malformed(field, key, 'a requested output has no such key')
  }
  const name = readName(value.name, `${field}.name`)
  if (value.parameters === undefined) return { name }
  const parameters = readParameters(value.parameters, `${field}.parameters`)
  checkNoSharedMemory(parameters, field)
  if (Object.hasOwn(parameters, 'classification')) {
    const path = `${field}.parameters.classification`
    throw malformed(path, parameters.classification, 'classification is not supported', 'Leave it out.')
  }
  if (!Object.hasOwn(parameters, 'binary_data')) return { name }
  const binary = parameters.binary_data
  if (typeof binary === 'boolean') return { name, binary }
  throw malformed(`${field}.parameters.binary_data`, binary, 'this must be true or false')
}

/** Throws `schema-mismatch` for a value that is no scalar. Gives the parsed object itself, without a copy. */
export function readFeatures(value: JsonValue | undefined): Features {
  if (!isJsonObject(value)) throw malformed('features', value, 'features must be an object of named scalars')
  for (const name of Object.keys(value)) {
    const feature = value[name]
    if (isFeature(feature)) continue
    const problem = 'a feature must be a number, a boolean, null, or well-formed text without NUL'
    const remedy = 'Send one row of scalars as features; send vectors as inputs.'
    throw new PeltonError('schema-mismatch', problem, {
      field: pathOf('features', name),
      value: showJson(feature),
      remedy,
    })
  }
  return value as Features // every value was checked
}

function isFeature(value: JsonValue | undefined): value is FeatureValue {
  if (typeof value === 'string') return isCarriedText(value)
  return value === null || (value !== undefined && typeof value !== 'object')
}

/** The path of a member whose name is not ours: plain names as they are, others quoted so that errors stay one line. */
function pathOf(parent: string, name: string): string {
  return /^[\w-]{1,64}$/.test(name) ? `${parent}.${name}` : `${parent}[${showJson(name.slice(0, 64))}]`
}

/** Writes `id` and `parameters` as members with a comma before each. Throws `code` for what JSON cannot hold. */
export function writeFields(fields: RequestFields, code: ErrorCode): string {
  if (fields.id !== undefined && !isCarriedText(fields.id)) {
    const details = { field: 'id', value: showJson(fields.id) }
    throw new PeltonError(code, 'an id must be well-formed text without NUL', details)
  }
  const id = fields.id === undefined ? '' : `,"id":${JSON.stringify(fields.id)}`
  if (fields.parameters === undefined) return id
  const members = Object.entries(fields.parameters).map(([name, value]) => {
    if (isParameter(value) && name !== '__proto__') return `${JSON.stringify(name)}:${scalarToJson(value)}`
    const details = { field: pathOf('parameters', name), value: showJson(value) }
    throw new PeltonError(code, 'a parameter must be a string, a boolean or a finite number', details)
  })
  return `${id},"parameters":{${members.join(',')}}`
}

/** Writes the outputs asked for as a member with a comma before it; nothing for an empty list. Throws `invalid-argument` for an unusable name. */
export function writeOutputs(outputs: readonly OutputRequest[] = []): string {
  if (outputs.length === 0) return ''
  const items = outputs.map(({ name, binary }) => {
    if (name === '' || !isCarriedText(name)) {
      const details = { field: 'outputs', value: showJson(name) }
      throw new PeltonError(
        'invalid-argument',
        'an output is asked for by a name of well-formed text',
        details,
      )
    }
    const parameters = binary === undefined ? '' : `,"parameters":{"binary_data":${binary}}`
    return `{"name":${JSON.stringify(name)}${parameters}}`
  })
  return `,"outputs":[${items.join(',')}]`
}

/** Writes features as a JSON object. Throws `invalid-argument` for other values than scalars. */
export function writeFeatures(features: Features): string {
  if (isWrittenAsItIs(features)) return JSON.stringify(features)
  const members = Object.entries(features).map(([name, value]) => {
    if (isFeature(value) && name !== '__proto__') return `${JSON.stringify(name)}:${scalarToJson(value)}`
    const details = { field: pathOf('features', name), value: showJson(value) }
    throw new PeltonError('invalid-argument', 'a feature is a scalar, and text without NUL', details)
  })
  return `{${members.join(',')}}`
}

/** Whether JSON of the language is what would be written value by value: of others than plain objects it may be anything. */
function isWrittenAsItIs(features: Features): boolean {
  const kind: unknown = Object.getPrototypeOf(features)
  if (kind !== Object.prototype && kind !== null) return false
  for (const name in features) {
    const value = features[name]
    const isPlain =
      typeof value === 'number'
        ? isPlainNumber(value) && !Object.is(value, -0)
        : typeof value === 'string'
          ? isCarriedText(value)
          : value === null || typeof value === 'boolean'
    if (!isPlain || !Object.hasOwn(features, name) || name === '__proto__') return false
  }
  return true
}

function isParameter(value: unknown): value is ParameterValue {
  if (typeof value === 'number') return Number.isFinite(value)
  return typeof value === 'string' || typeof value === 'boolean'
}

function scalarToJson(value: FeatureValue): string {
  if (typeof value === 'number') return numberToJson(value)
  return typeof value === 'string' ? JSON.stringify(value) : String(value)
}
