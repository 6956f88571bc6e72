import { setTimeout as sleep } from 'node:timers/promises'
import type { FlightEvent } from '../../../services/demo/flights.ts'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { featureConsumer, STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { eventually } from '../../kit/wait.ts'
import { startWorkerProcess, type WorkerProcess } from '../../kit/worker-process.ts'
import type { Stage } from '../../scale/stage.ts'
import { threadTimes } from '../compare/cpu.ts'
import { rateBetween } from '../compare/drain.ts'

/** Processes that answer events of one stage. */
export interface Crew {
  readonly pids: readonly number[]
  /** Rejects when one of them ends before it is told to. */
  readonly broken: Promise<never>
  stop(): Promise<void>
}

/** Starts one process for each environment, at the same time; resolves when all are ready. */
export async function startCrew(
  url: string,
  args: readonly string[],
  environments: readonly NodeJS.ProcessEnv[],
): Promise<Crew> {
  const started = await Promise.allSettled(
    environments.map((env) => startWorkerProcess({ url, models: DEMO_MODELS, program: args, env })),
  )
  const members = started.flatMap((one) => (one.status === 'fulfilled' ? [one.value] : []))
  const broken = Promise.race(members.map(breakOf))
  broken.catch(() => undefined) // told to whoever waits for its answers
  const stop = async (): Promise<void> => void (await Promise.all(members.map(endOf)))
  const failed = started.find((one) => one.status === 'rejected')
  if (failed === undefined) return { pids: members.map(({ pid }) => pid), broken, stop }
  await stop()
  throw failed.reason
}

async function breakOf({ ended, log }: WorkerProcess): Promise<never> {
  const end = await ended
  throw new Error(`a process ended (${end}):\n${JSON.stringify(log.slice(-5), null, 1)}`)
}

function endOf(member: WorkerProcess): Promise<unknown> {
  member.kill()
  return member.ended
}

/** Processor time that processes have used so far, microseconds. */
export async function cpuOf(pids: readonly number[]): Promise<number> {
  const ofEach = await Promise.all(pids.map(threadTimes))
  return ofEach.flatMap((threads) => [...threads.values()]).reduce((sum, { us }) => sum + us, 0)
}

/** What events cost, and how fast they went. */
export interface Cost {
  readonly perSecond: number
  /** Of all processes of the crew, and of all servers. */
  readonly crewUs: number
  readonly brokerUs: number
  /** Sequences in RESULTS of what was counted. */
  readonly from: number
  readonly to: number
}

/** Holds back what a pool's lane `normal` would hand out; to be called again with false. */
export async function hold({ connection }: Stage, isHeld: boolean): Promise<void> {
  const { stream, durable_name: name } = featureConsumer('default', 'normal')
  const until = isHeld ? { pause_until: new Date(Date.now() + 3_600_000).toISOString() } : {}
  await requestApi(connection, `CONSUMER.PAUSE.${stream}.${name}`, until)
}

/** Lets a crew that waits, warm, at a backlog that is held back have it. */
export async function drainBy(
  stage: Stage,
  { pids, broken }: Crew,
  load: {
    readonly flights: readonly FlightEvent[]
    readonly warmUp: number
    readonly events: number
  },
): Promise<Cost> {
  const before = await stage.outcomes()
  await hold(stage, false)
  await wake(stage, before, load.flights)
  const from = await Promise.race([broken, answered(stage, before + load.warmUp)])
  const [crew, broker] = [await cpuOf(pids), await cpuOf(stage.brokerPids)]
  const to = await Promise.race([broken, answered(stage, before + load.warmUp + load.events)])
  const events = to - from
  const crewUs = ((await cpuOf(pids)) - crew) / events
  const brokerUs = ((await cpuOf(stage.brokerPids)) - broker) / events
  return { perSecond: await rateBetween(stage, from, to), crewUs, brokerUs, from, to }
}

/** Pulls that wait since before a consumer went on are woken by the next event alone. */
async function wake(stage: Stage, before: number, flights: readonly FlightEvent[]): Promise<void> {
  while ((await stage.outcomes()) === before) {
    await stage.publishFlights(flights, 1, [DEMO_MODEL])
    await sleep(100)
  }
}

function answered(stage: Stage, count: number): Promise<number> {
  const look = async (): Promise<number | undefined> => {
    const outcomes = await stage.outcomes()
    return outcomes >= count ? outcomes : undefined
  }
  return eventually(`${count} outcomes`, look, { limitMs: 120_000, everyMs: 10 })
}

/** Rows that shared a run, in the mean over runs, as answers of a part of RESULTS say. */
export async function meanBatchRows(stage: Stage, { from, to }: Cost, sample = 200): Promise<number> {
  const step = (to - from) / sample
  const shares = Array.from({ length: sample }, async (_answer, index) => {
    const seq = Math.floor(from + 1 + index * step)
    const { message } = await requestApi<{ readonly message: { readonly hdrs: string } }>(
      stage.connection,
      `STREAM.MSG.GET.${STREAMS.results}`,
      { seq },
    )
    const head = Buffer.from(message.hdrs, 'base64').toString('latin1')
    return 1 / Number(/^Pelton-Batch-Rows: (\d+)/im.exec(head)?.[1])
  })
  // An event of a large batch is met as often as the batch is large.
  return sample / (await Promise.all(shares)).reduce((sum, share) => sum + share, 0)
}

/** What a crew and the servers use for some time, milliseconds a second, and how many outcomes there were. */
export async function meterFor(
  stage: Stage,
  pids: readonly number[],
  ms: number,
): Promise<{
  readonly crew: number
  readonly broker: number
  readonly outcomes: number
  readonly requests: number
}> {
  const look = async () => ({
    at: performance.now(),
    crew: await cpuOf(pids),
    broker: await cpuOf(stage.brokerPids),
    outcomes: await stage.outcomes(),
    requests: await received(stage),
  })
  const before = await look()
  await sleep(ms)
  const after = await look()
  const seconds = (after.at - before.at) / 1_000
  return {
    crew: (after.crew - before.crew) / 1_000 / seconds,
    broker: (after.broker - before.broker) / 1_000 / seconds,
    outcomes: (after.outcomes - before.outcomes) / seconds,
    requests: (after.requests - before.requests) / seconds,
  }
}

/** Messages that clients have sent to a server so far. */
async function received({ monitorUrl }: Stage): Promise<number> {
  if (monitorUrl === undefined) return Number.NaN
  const answer = await fetch(`${monitorUrl}/varz`)
  return ((await answer.json()) as { readonly in_msgs: number }).in_msgs
}
