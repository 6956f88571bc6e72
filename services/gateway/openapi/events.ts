import { z } from 'zod'
import type { Operation } from '../../../shared/runtime/openapi.ts'
import { LANES } from '../../../shared/sdk/contract/subjects.ts'
import { ACCEPTED_HEADERS, eventRefusals, PREDICTION_HEADERS, refusals } from './answers.ts'
import { eventHeaders, resultHeaders } from './request-headers.ts'
import { accepted, cloudEvent, eventData, inferenceResponse } from './schemas.ts'

/** What the operations of events and their results are filed under. */
export const EVENTS = 'Events and results'

const PREDICTION = {
  description: 'The prediction',
  headers: { ...PREDICTION_HEADERS, 'Preference-Applied': 'What of `Prefer` was done' },
  content: { 'application/json': inferenceResponse, 'application/octet-stream': undefined },
}
const RESULT_PATH = '/v1/results/{handle}'

/** The operations below `/v1`. */
export const eventOperations: readonly Operation[] = [
  publish('/v1/models/{model_name}/events', 'publish-event'),
  publish('/v1/models/{model_name}/versions/{model_version}/events', 'publish-event-for-version'),
  {
    method: 'get',
    path: RESULT_PATH,
    id: 'read-result',
    tag: EVENTS,
    summary: 'What became of an event',
    description:
      'The path as `Location` of the answer had it, with the API key of its request. A dead letter is answered with the status of its reason.',
    headers: resultHeaders,
    answers: {
      ...refusals(RESULT_PATH, 404, 410, 422, 504),
      200: PREDICTION,
      202: notYet('There is none yet'),
    },
  },
]

function publish(path: string, id: string): Operation {
  return {
    ...{ method: 'post', path, id, tag: EVENTS, summary: 'Publish a CloudEvent' },
    description:
      'In structured mode (`application/cloudevents+json`), or in binary mode: attributes as `ce-` headers, data as the body. With `Prefer: wait=<seconds>` the answer is the result where it comes in time.',
    query: z.object({ lane: z.enum(LANES).default('normal').describe('How urgent it is') }),
    headers: eventHeaders,
    body: {
      isRequired: true,
      content: {
        'application/cloudevents+json': cloudEvent,
        'application/json': eventData,
        'application/octet-stream': undefined,
      },
    },
    answers: {
      ...eventRefusals(path),
      200: PREDICTION,
      202: notYet('The stream has the event, and it will be answered'),
    },
  }
}

function notYet(description: string): Operation['answers'][number] {
  return { description, headers: ACCEPTED_HEADERS, content: { 'application/json': accepted } }
}
