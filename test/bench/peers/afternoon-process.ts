import { join } from 'node:path'
import { jetstream } from '@nats-io/jetstream'
import { connect } from '@nats-io/transport-node'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer } from '../../../shared/sdk/contract/topology.ts'
import { type Features, openBareModel } from '../suite/bare-model.ts'

// What one writes in an afternoon with the client's documentation open: consume(), run the model for each message, publish
// the answer and wait for its PubAck, acknowledge. Argument: how many messages may be in flight.

const { PELTON_NATS_URL: url = '', PELTON_MODELS: models = '' } = process.env
const inFlight = Number(process.argv[2] ?? 1)
// Its page: without traces of requests publishing is much faster.
const connection = await connect({ servers: url, noAsyncTraces: true })
const js = jetstream(connection)
const model = await openBareModel(join(models, DEMO_MODEL, '2', 'model.onnx'))
const { stream, durable_name: consumerName } = featureConsumer('default', 'normal')
const consumer = await js.consumers.get(stream, consumerName)
const messages = await consumer.consume({ max_messages: Math.max(inFlight, 100) })
type Message = typeof messages extends AsyncIterable<infer Each> ? Each : never

async function answer(message: Message): Promise<void> {
  const { features } = message.json<{ features: Features }>()
  const outputs = await model.run(model.feeds([features]))
  const answered = Object.fromEntries(model.outputs.map((name, at) => [name, Number(outputs[at]?.data[0])]))
  const token = message.headers?.get(HEADERS.messageId) ?? ''
  await js.publish(subjects.result(DEMO_MODEL, token), JSON.stringify(answered))
  message.ack()
}

let underWay = 0
let goOn: (() => void) | undefined

async function answerAndLeave(message: Message): Promise<void> {
  await answer(message)
  underWay--
  goOn?.()
}

process.on('SIGTERM', () => process.exit(0))
process.send?.({ kind: 'state', state: 'ready' })
for await (const message of messages) {
  underWay++
  void answerAndLeave(message)
  if (underWay >= inFlight)
    await new Promise<void>((resolve) => {
      goOn = resolve
    })
}
