import type { z } from 'zod'
import type { DescribedAnswer, Operation } from '../../../shared/runtime/openapi.ts'
import { ACCEPTED_HEADERS, eventRefusals, PREDICTION_HEADERS, refusals } from './answers.ts'
import { inferHeaders } from './request-headers.ts'
import * as schemas from './schemas.ts'

/** What each of its operations is filed under. */
export const OPEN_INFERENCE = 'Open Inference Protocol'

/** A model by its name alone, and one of its versions. */
const MODELS = [
  { path: '/v2/models/{model_name}', of: 'model' },
  { path: '/v2/models/{model_name}/versions/{model_version}', of: 'model-version' },
] as const

type Model = (typeof MODELS)[number]

/** The operations below `/v2`. */
export function openInferenceOperations(): readonly Operation[] {
  return [...serverOperations(), ...MODELS.flatMap(modelOperations), ...repositoryOperations()]
}

function get(path: string, id: string, summary: string, answers: Operation['answers']): Operation {
  return {
    ...{ method: 'get', path, id, tag: OPEN_INFERENCE, summary },
    answers: { ...refusals(path), ...answers },
  }
}

/** One that needs no key. */
function open(...about: Parameters<typeof get>): Operation {
  return { ...get(...about), isOpen: true }
}

function json(description: string, schema: z.ZodType): DescribedAnswer {
  return { description, content: { 'application/json': schema } }
}

function serverOperations(): readonly Operation[] {
  return [
    get('/v2', 'read-server-metadata', 'Name, version and extensions of this server', {
      200: json('They are these', schemas.serverMetadata),
    }),
    open('/v2/health/live', 'check-server-liveness', 'Whether the process lives', {
      200: json('It does', schemas.live),
    }),
    open('/v2/health/ready', 'check-server-readiness', 'Whether requests are taken', {
      200: json('They are', schemas.ready),
      503: json('They are not, and why', schemas.ready),
    }),
    get('/v2/models', 'list-models', 'Models that some worker serves', {
      200: json('Their names', schemas.modelNames),
    }),
    get('/v2/models/stats', 'read-statistics', 'Statistics of all models', {
      200: json('What this gateway has seen since it started', schemas.statistics),
    }),
  ]
}

function modelOperations(model: Model): readonly Operation[] {
  const { path, of } = model
  const unknown = refusals(path, 404)
  return [
    get(path, `read-${of}-metadata`, 'What it takes and gives', {
      ...unknown,
      200: json('Its inputs and outputs', schemas.modelMetadata),
    }),
    get(`${path}/ready`, `check-${of}-readiness`, 'Whether some worker serves it', {
      ...unknown,
      200: json('One does', schemas.modelReady),
      503: json('None does, or this gateway is not ready', schemas.modelReady),
    }),
    get(`${path}/stats`, `read-${of}-statistics`, 'Its statistics', {
      ...unknown,
      200: json('What this gateway has seen since it started', schemas.statistics),
    }),
    inferOperation(model),
  ]
}

/** JSON alone, or JSON and raw tensors behind it. */
const PREDICTION = {
  'application/json': schemas.inferenceResponse,
  'application/octet-stream': undefined,
}

function inferOperation({ path, of }: Model): Operation {
  return {
    method: 'post',
    path: `${path}/infer`,
    id: `${of}-infer`,
    tag: OPEN_INFERENCE,
    summary: 'Predict',
    description:
      'The request becomes an event in the stream, and its outcome the answer. Raw tensors stand behind the JSON as Triton has it: `parameters.binary_data_size` of an input instead of `data`, and `Inference-Header-Content-Length`. Beside the protocol, `{"features": {…}}` is one row by the names of its features.',
    headers: inferHeaders,
    body: {
      isRequired: true,
      content: { 'application/json': schemas.inferenceRequest, 'application/octet-stream': undefined },
    },
    answers: {
      ...eventRefusals(path),
      200: { description: 'The prediction', headers: PREDICTION_HEADERS, content: PREDICTION },
      202: {
        ...json(
          'The stream has the event, and it will be answered (`Prefer: respond-async`)',
          schemas.accepted,
        ),
        headers: ACCEPTED_HEADERS,
      },
    },
  }
}

function repositoryOperations(): readonly Operation[] {
  const path = '/v2/repository/index'
  const answers = {
    ...refusals(path),
    200: json('Every version that the pool knows, and whether it is served', schemas.index),
  }
  const common = { path, tag: OPEN_INFERENCE, summary: 'All models there are', answers } as const
  const body = { isRequired: false, content: { 'application/json': schemas.indexRequest } }
  return [
    { ...common, method: 'get', id: 'read-repository-index' },
    { ...common, method: 'post', id: 'ask-repository-index', body },
  ]
}
