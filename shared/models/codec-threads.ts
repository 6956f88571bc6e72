import { availableParallelism } from 'node:os'
import { Worker } from 'node:worker_threads'
import { siblingThreadEntry } from '../runtime/source-entry.ts'
import type { FeatureEvent, StoredMessage } from '../sdk/contract/event.ts'
import type { Tensor } from '../sdk/contract/tensor.ts'
import { PeltonError } from '../sdk/errors.ts'
import type { BinderModel } from './bind-plan.ts'
import type { Answer, AnswerPart, RawData, ReadData } from './codec.ts'
import type { CodecAnswer, CodecRequest, FromCodec } from './codec-messages.ts'
import { buffersOf, fromErrorMessage } from './thread-messages.ts'

/** A model as its events are fitted to it; `key` differs for every name, version and content. */
export type CodecModel = BinderModel & { readonly key: string }

/**
 * Reads and writes what is too large for a loop, on threads that run no model. Buffers go there and come back: a body must
 * share its buffer with nothing else, and cannot be used afterwards; the answer brings it again. Everything rejects with `internal` when its
 * thread ends first (the memory of the process is used up, say), or when the codec is closed.
 */
export interface Codec {
  /** Reads a message as an event, with the digest of the event's own body. */
  read(
    message: StoredMessage,
  ): Promise<{ readonly event: FeatureEvent; readonly body: Uint8Array; readonly digest: string }>
  /** Reads the data of an event and fits it to its model. */
  bind(model: CodecModel, data: RawData): Promise<ReadData & { readonly body: Uint8Array }>
  /** Writes the answers to a batch. */
  answer(outputs: readonly Tensor[], parts: readonly AnswerPart[]): Promise<readonly Answer[]>
  /** Requests that were sent and are not answered. */
  readonly waiting: number
  /** Ends the threads. What waits rejects. May be called twice. */
  close(): Promise<void>
}

export interface CodecOptions {
  /** Threads at most; each is started when all others are busy. @default two, or as many as leave the loop a processor */
  readonly threads?: number
}

interface Pending {
  readonly resolve: (answer: CodecAnswer) => void
  readonly reject: (error: PeltonError) => void
}

interface CodecThread {
  readonly pending: Map<number, Pending>
  /** Models it has been sent. */
  readonly known: Set<string>
  send(request: CodecRequest, transfer: readonly ArrayBuffer[]): Promise<CodecAnswer>
  end(): Promise<unknown>
}

const MOST_THREADS = Math.max(1, Math.min(2, availableParallelism() - 1))

/** Starts no thread before one is needed. */
export function createCodec({ threads: most = MOST_THREADS }: CodecOptions = {}): Codec {
  const threads = new Set<CodecThread>()
  let isClosed = false
  const choose = (): CodecThread => {
    if (isClosed) throw new PeltonError('internal', 'the codec is closed')
    const [idlest] = [...threads].sort((a, b) => a.pending.size - b.pending.size)
    if (idlest !== undefined && (idlest.pending.size === 0 || threads.size >= most)) return idlest
    const started = startThread((thread) => threads.delete(thread))
    threads.add(started)
    return started
  }
  return {
    async read(message) {
      const answer = await choose().send({ kind: 'read', message }, buffersIn(message.body))
      const { event, body, digest } = expecting(answer, 'read')
      return { event: { ...event, problem: event.problem && fromErrorMessage(event.problem) }, body, digest }
    },
    async bind(model, data) {
      const thread = choose()
      const { key } = model
      const isKnown = thread.known.has(key)
      thread.known.add(key)
      const request = { kind: 'bind', key, data, ...(!isKnown && { model: plain(model) }) } as const
      const { result, body } = expecting(await thread.send(request, buffersIn(data.body)), 'bind')
      return result.kind === 'bound'
        ? { ...result, body }
        : { ...result, error: fromErrorMessage(result.error), body }
    },
    async answer(outputs, parts) {
      const answer = await choose().send({ kind: 'answer', outputs, parts }, buffersOf(outputs))
      const { answers } = expecting(answer, 'answer')
      return answers.map((each) => ('body' in each ? each : fromErrorMessage(each)))
    },
    get waiting() {
      let waiting = 0
      for (const { pending } of threads) waiting += pending.size
      return waiting
    },
    async close() {
      isClosed = true
      await Promise.all([...threads].map((thread) => thread.end()))
    },
  }
}

function startThread(onExit: (thread: CodecThread) => void): CodecThread {
  const { url, execArgv } = siblingThreadEntry(import.meta.url, 'codec-thread')
  const worker = new Worker(url, { execArgv, name: 'codec' })
  const pending = new Map<number, Pending>()
  let nextId = 0
  let failure: unknown
  worker.on('message', ({ id, ...answer }: FromCodec) => {
    pending.get(id)?.resolve(answer as CodecAnswer)
    pending.delete(id)
  })
  worker.on('error', (thrown) => {
    failure = thrown
  })
  worker.once('exit', () => {
    onExit(thread)
    for (const { reject } of pending.values()) reject(threadEnded(failure))
    pending.clear()
  })
  const thread: CodecThread = {
    pending,
    known: new Set(),
    send: (request, transfer) =>
      new Promise((resolve, reject) => {
        const id = nextId++
        pending.set(id, { resolve, reject })
        worker.postMessage({ ...request, id }, transfer)
      }),
    end: () => worker.terminate(), // runs no model: it may be cut short
  }
  return thread
}

/** @throws what a thread could not do */
function expecting<Kind extends CodecAnswer['kind']>(answer: CodecAnswer, kind: Kind) {
  if (answer.kind === 'failed') throw fromErrorMessage(answer.error)
  if (answer.kind !== kind)
    throw new PeltonError('internal', `a codec thread answered ${answer.kind} to ${kind}`)
  return answer as Extract<CodecAnswer, { kind: Kind }>
}

/** Only what a message can carry: callers pass whole models. */
function plain({ name, version, signature, manifest }: CodecModel): BinderModel {
  return { name, version, signature, manifest }
}

/** Small buffers are Node's own, and shared: of those the thread gets a copy. */
const POOL_BYTES = 65_536

function buffersIn({ buffer }: Uint8Array): ArrayBuffer[] {
  return buffer instanceof ArrayBuffer && buffer.byteLength > POOL_BYTES ? [buffer] : []
}

function threadEnded(cause: unknown): PeltonError {
  const reason = cause instanceof Error ? cause.message : 'it ended by itself'
  return new PeltonError('internal', `the codec thread ended: ${reason}`, {}, cause)
}
