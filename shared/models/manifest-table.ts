import { z } from 'zod'
import { MANIFEST_DEFAULTS, manifestSchema } from './manifest-schema.ts'

/** What the table reads of a schema, in the words of JSON Schema. */
interface Shape {
  readonly title?: string
  readonly description?: string
  readonly type?: string
  readonly enum?: readonly string[]
  readonly anyOf?: readonly Shape[]
  readonly properties?: Readonly<Record<string, Shape>>
  readonly required?: readonly string[]
  readonly additionalProperties?: Shape | false
  readonly propertyNames?: Shape
  readonly items?: Shape
  readonly minimum?: number
  readonly maximum?: number
  readonly maxLength?: number
  readonly maxItems?: number
}

/** Every key of a manifest with type, default and meaning as Markdown, for docs/models.md. */
export function manifestTable(): string {
  const root = z.toJSONSchema(manifestSchema, { unrepresentable: 'any', io: 'input', reused: 'inline' })
  return [
    '| key | type | default | meaning |',
    '| --- | --- | --- | --- |',
    ...rowsOf(root as Shape, ''), // the words above are a part of those it is written in
  ].join('\n')
}

/** A row for each key below; `prefix` is the path of the value that has them, with a dot where it has one. */
function rowsOf({ properties = {}, required = [] }: Shape, prefix: string): string[] {
  return Object.entries(properties).flatMap(([key, shape]) => {
    const path = `${prefix}${key}`
    const [meaning, told] = splitDescription(shape.description ?? '')
    const fallback = required.includes(key) ? 'required' : (told ?? defaultAt(path))
    return [`| \`${path}\` | ${typeText(shape)} | ${fallback} | ${meaning} |`, ...rowsBelow(shape, path)]
  })
}

function rowsBelow(shape: Shape, path: string): string[] {
  if (shape.properties !== undefined) return rowsOf(shape, `${path}.`)
  if (shape.items?.properties !== undefined) return rowsOf(shape.items, `${path}[].`)
  const { additionalProperties: value } = shape
  if (!value) return []
  return alternatives(value).flatMap((each) => rowsOf(each, `${path}.*.`))
}

/** A default that is no plain value stands in brackets at the end of a description. */
function splitDescription(description: string): readonly [meaning: string, told: string | undefined] {
  const [end = '', told] = / \(default: (.*)\)$/.exec(description) ?? []
  return [description.slice(0, description.length - end.length), told]
}

function defaultAt(path: string): string {
  const parts = path.replaceAll('[]', '').split('.')
  const value = parts.reduce<unknown>((group, part) => Object(group)[part], MANIFEST_DEFAULTS)
  if (value === '') return 'empty'
  return value === undefined || typeof value === 'object' ? '' : `\`${String(value)}\``
}

function typeText(shape: Shape): string {
  const {
    title,
    anyOf,
    type,
    enum: values,
    items,
    properties,
    additionalProperties: value,
    maxItems,
    maxLength,
  } = shape
  if (title !== undefined) return title
  if (anyOf !== undefined) return alternatives(shape).map(typeText).join(' or ')
  if (properties !== undefined) return `\`{${Object.keys(properties).join(', ')}}\``
  if (items !== undefined) return `list of ${typeText(items)}${atMost(maxItems)}`
  if (value) return `${typeText(shape.propertyNames ?? {})}: ${typeText(value)}`
  if (values !== undefined) return values.map((value) => `\`${value}\``).join(' or ')
  if (type === 'boolean') return 'true or false'
  if (type === 'string') return maxLength === undefined ? 'text' : `text${atMost(maxLength)} characters`
  return `${type}${range(shape)}`
}

function alternatives(shape: Shape): readonly Shape[] {
  return shape.title === undefined && shape.anyOf !== undefined ? shape.anyOf.flatMap(alternatives) : [shape]
}

function atMost(count: number | undefined): string {
  return count === undefined ? '' : `, at most ${count}`
}

function range({ minimum, maximum }: Shape): string {
  return minimum === undefined || maximum === undefined ? '' : `, ${minimum} to ${maximum}`
}
