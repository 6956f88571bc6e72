import 'reflect-metadata'
import { getJetStreamTransportToken, JetstreamServerModule } from '@horizon-republic/nestjs-jetstream'
import { Controller, Module } from '@nestjs/common'
import { NestFactory } from '@nestjs/core'
import { EventPattern } from '@nestjs/microservices'
import { connect, StringCodec } from 'nats'
import { openModel } from './model.mjs'

// As its documentation has it: a controller with a handler of events. Answers are published as the client's documentation
// has it, awaited, into the stream the bench counts. It acknowledges before the handler runs: what is under way is lost with
// the process. Decorators are called by hand, because this is plain JavaScript.
// Arguments: name of the service, pattern of its events, where answers go.

const [name, pattern, answers] = process.argv.slice(2)
const url = process.env.PELTON_NATS_URL
const predict = await openModel()
const connection = await connect({ servers: url, noAsyncTraces: true })
const jetstream = connection.jetstream()
const codec = StringCodec()

class Flights {
  async predict({ id, features }) {
    await jetstream.publish(`${answers}${id}`, codec.encode(JSON.stringify(await predict(features))))
  }
}
EventPattern(pattern)(
  Flights.prototype,
  'predict',
  Object.getOwnPropertyDescriptor(Flights.prototype, 'predict'),
)
Controller()(Flights)

class App {}
Module({ imports: [JetstreamServerModule.forRoot({ name, servers: [url] })], controllers: [Flights] })(App)

const app = await NestFactory.create(App, { logger: ['error'] }).catch(() => undefined)
if (app === undefined) throw new Error('the application was not made')
app.connectMicroservice(app.get(getJetStreamTransportToken(name)), { inheritAppConfig: true })
process.on('SIGTERM', () => process.exit(0))
await app.startAllMicroservices()
process.send?.({ kind: 'state', state: 'ready' })
