import { readlinkSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { basename } from 'node:path'
import { parentPort } from 'node:worker_threads'
import { readEvent } from '../sdk/contract/event.ts'
import type { EncodedBody } from '../sdk/contract/open-inference.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { payloadDigest } from '../sdk/contract/token.ts'
import { PeltonError } from '../sdk/errors.ts'
import { type Binder, createBinder } from './bind.ts'
import { type AskedAnswer, readData, writeAnswers } from './codec.ts'
import type { CodecAnswer, CodecRequest, FromCodec, ToCodec } from './codec-messages.ts'
import { buffersOf, toErrorMessage } from './thread-messages.ts'
import { packTexts } from './work.ts'

/** The entry of a codec thread: one request after the other. It never runs a model, and is ended from outside. */
function main(): void {
  const port = parentPort
  if (port === null) throw new PeltonError('internal', 'this file is the entry of a thread, not of a process')
  yieldToLoop()
  const binders = new Map<string, Binder>()
  port.on('message', ({ id, ...request }: ToCodec) => {
    const { answer, transfer } = serve(request as CodecRequest, binders)
    port.postMessage({ ...answer, id } satisfies FromCodec, transfer)
  })
}

/** Behind the loop, where processors are few: on Linux a thread has a priority of its own, elsewhere all stay equal. */
function yieldToLoop(): void {
  try {
    const threadId = Number(basename(readlinkSync('/proc/thread-self')))
    setPriority(threadId, constants.priority.PRIORITY_BELOW_NORMAL)
  } catch {
    // Not there, or not allowed: it is a kindness, not a promise.
  }
}

interface Served {
  readonly answer: CodecAnswer
  readonly transfer: ArrayBuffer[]
}

function serve(request: CodecRequest, binders: Map<string, Binder>): Served {
  try {
    if (request.kind === 'read') return read(request)
    return request.kind === 'bind' ? bind(request, binders) : answerAll(request)
  } catch (thrown) {
    return { answer: { kind: 'failed', error: toErrorMessage(thrown, 'internal') }, transfer: [] }
  }
}

function read({ message }: CodecRequest & { kind: 'read' }): Served {
  const { problem, ...event } = readEvent(message)
  const { body } = message
  // That of a structured event is a part of the message's, which goes another way.
  const own = event.body === body ? body : inOwnBuffer(event.body)
  const plain = { ...event, body: own, problem: problem && toErrorMessage(problem, 'malformed') }
  const answer = { kind: 'read', event: plain, body, digest: payloadDigest(own) } as const
  return { answer, transfer: ownBuffers(body, own) }
}

function bind({ key, model, data }: CodecRequest & { kind: 'bind' }, binders: Map<string, Binder>): Served {
  const binder = binders.get(key) ?? (model && createBinder(model))
  if (binder === undefined) throw new PeltonError('internal', `model ${key} was never sent to this thread`)
  binders.set(key, binder)
  const result = readData(data, binder)
  const { body } = data
  if (result.kind === 'refused') {
    const refused = { ...result, error: toErrorMessage(result.error, 'malformed') }
    return { answer: { kind: 'bind', result: refused, body }, transfer: ownBuffers(body) }
  }
  // Whoever gets them sends them on to the run, and never looks into them.
  const inputs = result.bound.inputs.map((input) => ({ ...packTexts(input), isOwned: true }) as Tensor)
  const bound = { ...result.bound, inputs }
  const answer = {
    kind: 'bind',
    result: { kind: 'bound', bound, asked: shortened(result.asked) },
    body,
  } as const
  return { answer, transfer: [...ownBuffers(body), ...buffersOf(inputs)] }
}

/** Parameters may be as large as the event, and an answer heeds one of them. */
function shortened({ id, outputs, parameters }: AskedAnswer): AskedAnswer {
  const binary = Object.hasOwn(parameters, 'binary_data_output') ? parameters.binary_data_output : undefined
  return {
    ...(id !== undefined && { id }),
    ...(outputs !== undefined && { outputs }),
    parameters: binary === undefined ? {} : { binary_data_output: binary },
  }
}

function answerAll({ outputs, parts }: CodecRequest & { kind: 'answer' }): Served {
  const answers = writeAnswers(outputs, parts).map(
    (each): EncodedBody | ReturnType<typeof toErrorMessage> => {
      if (each instanceof PeltonError) return toErrorMessage(each, 'internal')
      return { ...each, body: inOwnBuffer(each.body) }
    },
  )
  const bodies = answers.flatMap((each) => ('body' in each ? [each.body] : []))
  return { answer: { kind: 'answer', answers }, transfer: ownBuffers(...bodies) }
}

/** Small bodies share a buffer of the process, which must stay here. */
function inOwnBuffer(body: Uint8Array): Uint8Array {
  return body.byteLength === body.buffer.byteLength ? new Uint8Array(body.buffer) : new Uint8Array(body)
}

function ownBuffers(...bodies: readonly Uint8Array[]): ArrayBuffer[] {
  return [...new Set(bodies.map(({ buffer }) => buffer))].filter((buffer) => buffer instanceof ArrayBuffer)
}

main()
