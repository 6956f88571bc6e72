import { Validator } from '@seriousme/openapi-schema-validator'
import { describe, expect, test } from 'vitest'
import { z } from 'zod'
import { type DescribedApi, describeApi, type Operation } from './openapi.ts'

const tree: z.ZodType = z
  .object({ name: z.string(), below: z.array(z.lazy(() => tree)).optional() })
  .meta({ id: 'Tree' })

const READ: Operation = {
  ...{ method: 'get', path: '/trees/{tree}', id: 'read-tree', tag: 'Trees', summary: 'One tree' },
  query: z.strictObject({ deep: z.stringbool().default(false).describe('With all below'), of: z.string() }),
  answers: { 200: { description: 'It', content: { 'application/json': tree } } },
}
const API: DescribedApi = {
  ...{ title: 'Trees', version: '1.2.3', description: '', operations: [READ] },
  parameters: { tree: 'Its name' },
  tags: { Trees: 'Trees.' },
  security: { bearer: { type: 'http', scheme: 'bearer' } },
}

describe('describeApi', () => {
  test('makes a valid document; schemas with an id are components, also where they name themselves', async () => {
    const document = describeApi(API)
    const { valid, errors } = await new Validator().validate(JSON.parse(JSON.stringify(document)))
    expect({ valid, errors }).toEqual({ valid: true, errors: undefined })
    expect(document.components.schemas).toEqual({
      Tree: {
        type: 'object',
        properties: {
          name: { type: 'string' },
          below: { type: 'array', items: { $ref: '#/components/schemas/Tree' } },
        },
        required: ['name'],
      },
    })
  })

  test('describes parameters as they are sent', () => {
    expect(describeApi(API).paths['/trees/{tree}']?.get).toMatchObject({
      parameters: [
        { name: 'tree', in: 'path', required: true, schema: { type: 'string' } },
        { name: 'deep', in: 'query', required: false, description: 'With all below' },
        { name: 'of', in: 'query', required: true, schema: { type: 'string' } },
      ],
      responses: {
        200: { content: { 'application/json': { schema: { $ref: '#/components/schemas/Tree' } } } },
      },
    })
  })

  test('asks for a key of every operation that is not open, or of none by itself', () => {
    const open = { ...READ, isOpen: true }
    const { security, paths } = describeApi({ ...API, operations: [open] })
    expect([security, paths['/trees/{tree}']?.get?.security]).toEqual([[{ bearer: [] }], []])
    expect(describeApi({ ...API, needsSecurity: false }).security).toEqual([{}, { bearer: [] }])
  })

  test.each<[string, Partial<DescribedApi>, RegExp]>([
    ['an operation twice', { operations: [READ, { ...READ, id: 'other' }] }, /twice: get \/trees/],
    ['an id twice', { operations: [READ, { ...READ, path: '/trees' }] }, /twice: get \/trees \(read-tree\)/],
    ['a parameter that is not described', { parameters: {} }, /parameter tree of/],
    [
      'two schemas of one name',
      {
        operations: [
          READ,
          {
            ...{ ...READ, method: 'post', id: 'other' },
            body: { isRequired: true, content: { a: z.string().meta({ id: 'Tree' }) } },
          },
        ],
      },
      /two schemas are called Tree/,
    ],
  ])('refuses %s', (_what, change, words) => {
    expect(() => describeApi({ ...API, ...change })).toThrow(words)
  })
})
