import { type ChildProcess, spawn } from 'node:child_process'
import { expect, vi } from 'vitest'
import { EXAMPLE_FLIGHT } from '../../services/demo/models.ts'
import { HEADERS, type HeaderEntry } from '../../shared/sdk/contract/headers.ts'
import { decodeLedgerRecord } from '../../shared/sdk/contract/ledger.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'
import { readStream } from '../kit/outcomes.ts'
import { openPipeline, type Pipeline, type PipelineOptions } from '../kit/pipeline.ts'
import { programArgs } from '../kit/program.ts'
import { PATIENT } from '../kit/wait.ts'
import { type CliProcess, startCli } from './cli-process.ts'

export const MODEL = 'flight-delay'
export const FAST = ['--rate', '1000', '--ramp', '0']
export const GOOD = JSON.stringify({ features: EXAMPLE_FLIGHT })
export const BAD = JSON.stringify({ features: { origin: 'DTW' } })
export const EXPIRED: HeaderEntry = [HEADERS.expiryTime, '2020-01-01T00:00:00Z']

/** A pipeline, and dead letters to replay: their deadlines have passed. */
export interface ReplayStage extends Omit<Pipeline, 'publish'> {
  readonly window: PublishWindow
  publish(id: string, body: string, extra?: readonly HeaderEntry[], model?: string): Promise<string>
  /** Makes dead letters of events with these payloads, and returns their tokens. */
  deadLetters(bodies: readonly string[]): Promise<string[]>
  /** Waits until the workers have made so many dead letters, and have settled everything. */
  hasDeadLetters(count: number): Promise<void>
  /** Keys of a kind in the bucket of replays. */
  keptOf(kind: 'held' | 'hosted'): Promise<string[]>
  /** FEATURES sequences that the ledger says `ops` replayed, one entry for each time it says so. */
  replayedInLedger(): Promise<number[]>
  /** Waits until some of the dead letters are replayed, and some are not. */
  inTheMiddleOf(count: number): Promise<void>
  /** Starts a command on this broker. */
  start(...args: string[]): CliProcess
  /** Starts a process that is a part of the tests: `replay-crash-process`. */
  startHelper(name: `${string}-process`, ...args: string[]): ChildProcess
}

export async function openReplayStage(
  options: PipelineOptions = { topology: { ackWaitMs: 3_000 } },
): Promise<ReplayStage> {
  const pipeline = await openPipeline(options)
  const { broker, connection, env, countIn } = pipeline
  const window = new PublishWindow(connection)
  const children: ChildProcess[] = []
  const publish: ReplayStage['publish'] = (id, body, extra = [EXPIRED], model = MODEL) =>
    pipeline.publish({ id, body, model, headers: Object.fromEntries(extra) })
  const hasDeadLetters = (count: number): Promise<void> =>
    vi.waitFor(async () => {
      expect(await countIn(STREAMS.deadLetters)).toBe(count)
      expect(await countIn(STREAMS.features)).toBe(0)
    }, PATIENT)
  return {
    ...pipeline,
    window,
    publish,
    hasDeadLetters,
    deadLetters: async (bodies) => {
      const tokens = await Promise.all(bodies.map((body, index) => publish(`event-${index}`, body)))
      await hasDeadLetters(bodies.length)
      return tokens
    },
    keptOf: async (kind) => {
      const kept = await readStream(connection, 'KV_pelton-replays')
      const subjectsOf = new Set(kept.map(({ subject }) => subject))
      return [...subjectsOf].filter((subject) => subject.includes(`.${kind}.`))
    },
    replayedInLedger: async () => {
      const records = (await readStream(connection, STREAMS.ledger)).map(({ body }) =>
        decodeLedgerRecord(body),
      )
      return records.flatMap(({ entries, by }) =>
        entries.flatMap(({ outcome, sequence }) =>
          outcome === 'replayed' && by === 'ops' ? [sequence] : [],
        ),
      )
    },
    inTheMiddleOf: (count) =>
      vi.waitFor(async () => {
        const left = await countIn(STREAMS.deadLetters)
        expect(left).toBeLessThan(count - 20)
        expect(left).toBeGreaterThan(20)
      }, PATIENT),
    start: (...args) => {
      const cli = startCli(args, { env, input: '' })
      children.push(cli.child)
      return cli
    },
    startHelper: (name, ...args) => {
      const child = spawn(
        process.execPath,
        [...programArgs(`test/integration/${name}`), broker.url, ...args],
        {
          stdio: ['ignore', 'pipe', 'pipe'],
        },
      )
      child.stderr?.pipe(process.stderr, { end: false })
      children.push(child)
      return child
    },
    close: async () => {
      for (const child of children) child.kill('SIGKILL')
      window.close()
      await pipeline.close()
    },
  }
}

/** The task a command says that it runs. */
export async function taskOf(cli: CliProcess): Promise<string> {
  await cli.until('task ')
  return /task (\S+)/.exec(cli.err())?.[1] ?? ''
}
