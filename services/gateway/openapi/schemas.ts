import { z } from 'zod'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { DATATYPES } from '../../../shared/sdk/contract/tensor.ts'
import { REASONS } from '../../../shared/sdk/errors.ts'

/** What is sent and answered, for the document alone: requests are read by each protocol itself. */

const parameters = z.record(z.string(), z.unknown()).meta({ id: 'Parameters' })
/** Flat in row-major order, or nested as the shape says. */
const tensorData: z.ZodType = z
  .array(z.union([z.lazy(() => tensorData), z.number(), z.string(), z.boolean()]))
  .meta({ id: 'TensorData', description: 'Elements in row-major order: flat, or nested as the shape says' })
const shape = z.array(z.int().min(0))
const datatype = z.enum(DATATYPES).meta({ id: 'Datatype' })

const scheduled = z
  .looseObject({
    timeout: z.int().min(0).optional().describe('When the caller gives up, microseconds; 0 for no own limit'),
    priority: z.int().min(0).optional().describe('1 for high, 2 for normal, 3 or more for low; 0 for normal'),
  })
  .meta({ id: 'RequestParameters' })

/** Of a request in JSON alone. */
export const inferenceRequest = z
  .object({
    id: z.string().optional().describe('Comes back with the answer'),
    parameters: scheduled.optional(),
    inputs: z.array(
      z
        .object({ name: z.string(), shape, datatype, parameters: parameters.optional(), data: tensorData })
        .meta({ id: 'RequestInput' }),
    ),
    outputs: z
      .array(z.object({ name: z.string(), parameters: parameters.optional() }).meta({ id: 'RequestOutput' }))
      .optional()
      .describe('Outputs that are wanted; all where nothing is said'),
  })
  .meta({
    id: 'InferenceRequest',
    example: {
      id: 'NW331',
      inputs: [{ name: 'input', shape: [1, 2], datatype: 'FP32', data: [0.5, 1.5] }],
    },
  })

export const inferenceResponse = z
  .object({
    model_name: z.string(),
    model_version: z.string().optional(),
    id: z.string().optional(),
    parameters: parameters.optional(),
    outputs: z.array(
      z
        .object({ name: z.string(), shape, datatype, parameters: parameters.optional(), data: tensorData })
        .meta({ id: 'ResponseOutput' }),
    ),
  })
  .meta({ id: 'InferenceResponse' })

export const serverMetadata = z
  .object({ name: z.string(), version: z.string(), extensions: z.array(z.string()) })
  .meta({ id: 'ServerMetadata' })

const tensorMetadata = z
  .object({
    name: z.string(),
    datatype,
    shape: z.array(z.int().min(-1)).describe('-1 is a dimension of any size'),
  })
  .meta({ id: 'TensorMetadata' })

export const modelMetadata = z
  .object({
    name: z.string(),
    versions: z.array(z.string()).describe('Those that are served now, or were where none is'),
    platform: z.string(),
    inputs: z.array(tensorMetadata),
    outputs: z.array(tensorMetadata),
  })
  .meta({ id: 'ModelMetadata' })

export const live = z.object({ live: z.literal(true) }).meta({ id: 'ServerLive' })
export const ready = z
  .object({ ready: z.boolean(), error: z.string().optional().describe('Why not') })
  .meta({ id: 'ServerReady' })
export const modelReady = z
  .object({ name: z.string(), ready: z.boolean(), error: z.string().optional().describe('Why not') })
  .meta({ id: 'ModelReady' })
export const modelNames = z.object({ models: z.array(z.string()) }).meta({ id: 'ModelNames' })

export const indexRequest = z
  .object({ ready: z.boolean().optional().describe('Those alone that are served') })
  .meta({ id: 'RepositoryIndexRequest' })
export const index = z
  .array(
    z.object({
      name: z.string(),
      version: z.string().optional(),
      state: z.enum(['READY', 'UNAVAILABLE']),
      reason: z.string(),
    }),
  )
  .meta({ id: 'RepositoryIndex' })

const duration = z
  .object({ count: z.int().min(0), ns: z.int().min(0).describe('Nanoseconds in all') })
  .meta({ id: 'DurationStatistic' })

export const statistics = z
  .object({
    model_stats: z.array(
      z
        .object({
          name: z.string(),
          version: z.string().optional(),
          last_inference: z.int().describe('Milliseconds since 1970; 0 for never'),
          inference_count: z.number(),
          execution_count: z.number(),
          inference_stats: z.object({
            ...{ success: duration, fail: duration, queue: duration, compute_input: duration },
            ...{ compute_infer: duration, compute_output: duration },
            ...{ cache_hit: duration, cache_miss: duration },
          }),
          batch_stats: z.array(z.unknown()),
        })
        .meta({ id: 'ModelStatistics' }),
    ),
  })
  .meta({ id: 'Statistics' })

export const accepted = z
  .object({
    token: z.string().describe('Names the event everywhere in Pelton'),
    model: z.string(),
    pool: z.string(),
    lane: z.enum(LANES),
    loweredFrom: z.enum(LANES).optional().describe('Lane that was asked for, where the key has a lower one'),
    sequence: z.int().min(0).describe('Position in the stream'),
    result: z.string().describe('Path of the result, as in Location'),
    estimateSeconds: z.number().optional().describe('About how long what is ahead of it takes'),
    id: z.string().optional(),
    source: z.string().optional(),
    duplicate: z.boolean().optional().describe('The stream held this event already: nothing new was stored'),
  })
  .meta({ id: 'Accepted' })

export const problem = z
  .object({
    type: z.string(),
    title: z.string(),
    status: z.int(),
    detail: z.string(),
    error: z.string().describe('What the Open Inference Protocol calls it'),
    instance: z.string().optional().describe('Names this answer in the log of the gateway'),
    code: z.string().optional().describe('A word for programs'),
    field: z.string().optional().describe('What is wrong'),
    value: z.string().optional().describe('What stood there'),
    remedy: z.string().optional().describe('What to do about it'),
    retryAfterMs: z
      .number()
      .min(0)
      .optional()
      .describe('When to ask again, milliseconds, where it was refused because of load'),
    reason: z
      .string()
      .optional()
      .describe(`Why the event became a dead letter: ${Object.keys(REASONS).join(', ')}`),
    stage: z.string().optional().describe('Where in the worker that was'),
    token: z.string().optional().describe('Names the event, where there is one'),
    model: z.string().optional(),
    id: z.string().optional(),
  })
  .meta({ id: 'Problem', description: 'RFC 9457' })

/** In structured mode. */
export const cloudEvent = z
  .looseObject({
    specversion: z.literal('1.0'),
    id: z.string().min(1),
    source: z.string().min(1),
    type: z.string().min(1),
    time: z.iso.datetime({ offset: true }).optional(),
    subject: z.string().optional(),
    datacontenttype: z.enum(['application/json', 'application/octet-stream']).optional(),
    expirytime: z.iso.datetime({ offset: true }).optional().describe('The deadline of the event'),
    data: z.unknown().optional(),
    data_base64: z.base64().optional(),
  })
  .meta({ id: 'CloudEvent' })

/** In binary mode: its data alone. */
export const eventData = z
  .union([
    inferenceRequest,
    z
      .object({ features: z.record(z.string(), z.unknown()) })
      .describe('One row by the names of its features'),
  ])
  .meta({ id: 'EventData' })
