import type { Flow } from '../../shared/sdk/contract/flow.ts'
import { LANES } from '../../shared/sdk/contract/subjects.ts'
import { boundsOf, intendedTimes } from '../scenarios/load/schedule.ts'
import type { Within } from '../scenarios/measure/account.ts'
import { type Failure, retryMs } from './doors/clients.ts'
import type { Door } from './doors/door.ts'
import type { DoorLaw } from './doors/laws.ts'
import { Agenda } from './engine/agenda.ts'
import { chanceOf, exponential, pick, type Random } from './engine/chance.ts'
import type { SimEvent } from './load/event.ts'
import type { Demand } from './load/shapes.ts'
import { type Account, Books, SLICE_MS } from './measure/account.ts'
import { createSpeaker, type FlowSetup } from './pool/flow.ts'
import { capacityOf, type PoolSetup } from './pool/pool-setup.ts'
import { Stream } from './pool/stream.ts'
import { createWorker, type Outcomes, type SimWorker } from './pool/worker.ts'

/** A run: everything that its account follows from. */
export interface Setup {
  readonly seed: number
  readonly demand: Demand
  readonly pool: PoolSetup
  readonly doors: number
  readonly law: DoorLaw
  readonly flow: FlowSetup
}

/**
 * Simulates a load on doors, a stream and the workers of a pool, event by event in virtual time. The same setup gives the same
 * account.
 *
 * @throws NotClosed where the account does not close
 */
export function simulate(setup: Setup): Account {
  const { demand, pool } = setup
  const agenda = new Agenda()
  const chance = chanceOf(setup.seed)
  const endMs = 1_000 * demand.phases.reduce((sum, { seconds }) => sum + seconds, 0)
  const books = new Books(shownOf(demand), Math.ceil(endMs / SLICE_MS))
  const stream = new Stream(pool.mostOfLane)
  const slowness = (): number => {
    const { slower } = demand
    const isSlower = slower !== undefined && agenda.nowMs >= slower.fromMs && agenda.nowMs < slower.toMs
    return isSlower ? slower.times : 1
  }
  const doors = Array.from({ length: setup.doors }, () => setup.law(chance.laws))
  const say = sayTo(doors, setup, agenda, chance.flow)
  const isOver = (): boolean => agenda.nowMs > endMs
  const workers = startWorkers({ setup, agenda, stream, books, slowness, say, isOver, random: chance.flow })
  const send = sender({ setup, agenda, chance, doors, stream, books })
  sendAll(
    intendedTimes(demand.phases, () => exponential(chance.times)),
    agenda,
    send,
  )
  watch(endMs, agenda, books, () => {
    const perSecond = capacityOf(pool) / slowness()
    const held = workers.map(({ view }) => view.held)
    const rows = [stream.waiting, ...held].reduce((sum, of) => sum + of.high + of.normal + of.low, 0)
    return { backlogSeconds: rows / perSecond, carried: (perSecond * SLICE_MS) / 1_000 }
  })
  agenda.run()
  return books.close()
}

interface WorkersGround {
  readonly setup: Setup
  readonly agenda: Agenda
  readonly stream: Stream
  readonly books: Books
  readonly slowness: () => number
  readonly say: (flow: Flow) => void
  readonly isOver: () => boolean
  readonly random: Random
}

function startWorkers({ setup, random, say, isOver, books, ...ground }: WorkersGround): readonly SimWorker[] {
  const { pool, demand, flow } = setup
  const { agenda } = ground
  const outcomes: Outcomes = {
    predicted(event) {
      const atMs = agenda.nowMs + pool.wayMs
      event.isAnswered ||= atMs <= event.endsAtMs
      books.predicted(event, atMs)
    },
    ended: (event, ending) => books.ended(event, ending),
  }
  return Array.from({ length: pool.workers }, (_worker, at) => {
    const speaker = createSpeaker({
      ...{ name: `w${at}`, agenda, say, isOver, deadlineMs: demand.deadlineMs, worker: () => worker },
      everyMs: flow.everyMs(pool.workers),
      turn: flow.isInTurn ? at / pool.workers : random(),
    })
    const worker = createWorker({ ...ground, setup: pool, outcomes, onHanded: speaker.saw })
    worker.start()
    speaker.start()
    return worker
  })
}

/** When what is looked at begins and ends. */
function shownOf({ phases, shown }: Demand): Within {
  const bounds = boundsOf(phases).find(({ name }) => name === shown)
  if (bounds === undefined) throw new Error(`no phase is called ${shown}`)
  return bounds
}

/** Says a word of the flow to each door, unless it gets lost on the way. */
function sayTo(
  doors: readonly Door[],
  { flow, pool }: Setup,
  agenda: Agenda,
  random: Random,
): (word: Flow) => void {
  return (word) => {
    for (const door of doors) {
      if (random() < flow.lost) continue
      agenda.in(pool.wayMs + flow.jitterMs * random(), () => door.hear(word, agenda.nowMs))
    }
  }
}

interface SendGround {
  readonly setup: Setup
  readonly agenda: Agenda
  readonly chance: ReturnType<typeof chanceOf>
  readonly doors: readonly Door[]
  readonly stream: Stream
  readonly books: Books
}

/** How clients send, and what they do with refusals. */
function sender({ setup, agenda, chance, doors, stream, books }: SendGround): () => void {
  const { demand, pool } = setup
  const lanes = LANES.map((lane) => ({ choice: lane, share: demand.laneShares[lane] }))
  const { fromMs, toMs } = shownOf(demand)
  const { sources, calmSources = sources } = demand
  const isShown = (): boolean => agenda.nowMs >= fromMs && agenda.nowMs < toMs

  function again(event: SimEvent, failure: Failure): void {
    const afterMs = retryMs(demand.clients, event.attempt, failure, chance.clients)
    if (afterMs === undefined) return
    agenda.in(afterMs, () => send(event.lane, event.source, event.attempt + 1))
  }

  function refused(event: SimEvent, limit: string, retryAfterMs: number): void {
    event.isAnswered = true
    books.refused(event, limit)
    again(event, { kind: 'refused', retryAfterMs })
  }

  function send(lane: SimEvent['lane'], source: string, attempt: number): void {
    const sentAtMs = agenda.nowMs
    const endsAtMs = sentAtMs + demand.deadlineMs
    const event = { lane, source, attempt, sentAtMs, endsAtMs, isAnswered: false }
    books.sent(event)
    const door = doors[Math.floor(chance.doors() * doors.length)] as Door
    const refusal = door.decide({ lane, source, deadlineMs: demand.deadlineMs }, sentAtMs)
    if (refusal === undefined) store(event, door)
    else refused(event, refusal.limit, refusal.retryAfterMs)
  }

  function store(event: SimEvent, door: Door): void {
    agenda.in(pool.wayMs, () => {
      const isStored = stream.store(event)
      door.told(isStored, agenda.nowMs)
      if (!isStored) refused(event, 'stream-full', 0)
    })
    if (demand.clients === 'leave') return
    agenda.at(event.endsAtMs, () => {
      if (!event.isAnswered) again(event, { kind: 'late' })
    })
  }

  return () => send(pick(lanes, chance.lanes), pick(isShown() ? sources : calmSources, chance.sources), 1)
}

/** Each event at its time. */
function sendAll(times: Float64Array, agenda: Agenda, send: () => void): void {
  let at = 0
  const next = (): void => {
    const ms = times[at++]
    if (ms === undefined) return
    agenda.at(ms, () => {
      send()
      next()
    })
  }
  next()
}

/** Looks at the end of each slice. */
function watch(
  endMs: number,
  agenda: Agenda,
  books: Books,
  look: () => Parameters<Books['looked']>[1],
): void {
  for (let slice = 0; (slice + 1) * SLICE_MS <= endMs; slice++)
    agenda.at((slice + 1) * SLICE_MS, () => books.looked(slice, look()))
}
