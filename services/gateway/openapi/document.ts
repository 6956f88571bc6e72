import { describeApi, type OpenApiDocument } from '../../../shared/runtime/openapi.ts'
import { EVENTS, eventOperations } from './events.ts'
import { OPEN_INFERENCE, openInferenceOperations } from './open-inference.ts'

const DESCRIPTION = `Predictions over HTTP, in front of a stream: an accepted request becomes an event, and every event a prediction
or a dead letter.

Of the Open Inference Protocol with Triton's extensions this server has \`binary_tensor_data\`, \`schedule_policy\`, \`statistics\` and the
index of \`model_repository\`. What Triton has beside them (loading, configurations, shared memory, generation, logging, traces) is
answered 501. Bodies may be compressed with gzip or deflate, and answers are where \`Accept-Encoding\` likes that.`

/** @param needsKeys whether every request needs an API key */
export function describeGateway(version: string, needsKeys: boolean): OpenApiDocument {
  return describeApi({
    title: 'Pelton gateway',
    version,
    description: DESCRIPTION,
    operations: [...openInferenceOperations(), ...eventOperations],
    parameters: {
      model_name: 'Name of the model, percent-encoded; below /v2 its slashes may stay',
      model_version: 'One of its versions',
      handle: 'As the `Location` of an answer has it',
    },
    tags: {
      [OPEN_INFERENCE]:
        'Version 2, as KServe, Triton and their clients speak it. Errors are `application/json` unless `Accept` names `application/problem+json`.',
      [EVENTS]: 'Events that are answered later, and their results.',
    },
    security: {
      bearer: { type: 'http', scheme: 'bearer', description: 'A key of `pelton keys create`' },
      apiKey: { type: 'apiKey', in: 'header', name: 'x-api-key', description: 'The same key' },
    },
    needsSecurity: needsKeys,
  })
}
