import type { DoorFacts } from '../../../shared/operations/gates/door-facts.ts'
import { flowGate, type Gates } from '../../../shared/operations/gates/gates.ts'
import type { SeenPool } from '../../../shared/operations/models/all-pools.ts'
import type { AdmissionMode, Flow, FlowGate } from '../../../shared/sdk/contract/flow.ts'
import { type Lane, modelKey, readRoute } from '../../../shared/sdk/contract/subjects.ts'
import { featureConsumer } from '../../../shared/sdk/contract/topology.ts'

/** A word on one model of a pool. */
export interface Word {
  readonly pool: string
  readonly model: string
  readonly flow: Flow
}

export interface WordsInput {
  readonly facts: DoorFacts
  readonly gates: Gates
  /** What the pools have: records name models of which no event waits, and what operators said of them. */
  readonly pools: readonly SeenPool[]
  /** Name of the control service that speaks. */
  readonly name: string
  /** The next word comes within this time, milliseconds. */
  readonly everyMs: number
  /** Models that were spoken of, and of which there was something to say at the look before. */
  readonly before: ReadonlyMap<string, Told>
}

/** A model that there is something to say of. */
export interface Told {
  readonly pool: string
  readonly model: string
}

interface Said extends Told {
  readonly waiting: Record<Lane, number>
  readonly gates: FlowGate[]
}

/** Beyond so many models those of which least waits are not spoken of. */
const MOST_MODELS = 4_096
const NONE: Flow['held'] = { high: 0, normal: 0, low: 0 }

/**
 * What control says at one look: of each model that has events in FEATURES, and while a gate is shut for all, of each that a pool
 * knows; of one of which there is nothing more to say one last word. Pure.
 *
 * @returns the words, and which models have a last word to come
 */
export function wordsOf(input: WordsInput): {
  readonly words: readonly Word[]
  readonly told: ReadonlyMap<string, Told>
} {
  const { before, pools } = input
  const said = thoseWaiting(input)
  const common = input.gates.common.filter(({ isShut }) => isShut).map(flowGate)
  if (common.length > 0)
    for (const { pool, records } of pools) for (const { model } of records) ofModel(said, { pool, model })
  for (const { gates } of said.values()) gates.push(...common)
  const spoken = [...said].sort(byWaiting).slice(0, MOST_MODELS)
  const over = [...before].filter(([key]) => !said.has(key)).map(([, one]) => silent(one))
  const modes = modesOf(pools)
  const words = [...spoken.map(([, one]) => one), ...over].map((one) => wordOf(one, input, modes))
  // What is only not spoken of among so many still has its last word to come.
  const unspoken = [...before].filter(([key]) => said.has(key))
  return { words, told: new Map<string, Told>([...unspoken, ...spoken]) }
}

function thoseWaiting({ facts, gates }: WordsInput): Map<string, Said> {
  const said = new Map<string, Said>()
  for (const [subject, count] of facts.counts) {
    const route = readRoute(subject)
    if (route === undefined) continue
    const { waiting, gates: own } = ofModel(said, route)
    const share = facts.waitingShare.get(consumerOf(route.pool, route.lane)) ?? 1
    waiting[route.lane] += Math.round(count * share)
    const gate = gates.own.get(subject)
    if (gate !== undefined) own.push(flowGate(gate))
  }
  return said
}

function ofModel(said: Map<string, Said>, told: Told): Said {
  const key = modelKey(told)
  const known = said.get(key) ?? silent(told)
  said.set(key, known)
  return known
}

function silent({ pool, model }: Told): Said {
  return { pool, model, waiting: { ...NONE }, gates: [] }
}

function byWaiting([, one]: readonly [string, Said], [, other]: readonly [string, Said]): number {
  return sumOf(other.waiting) - sumOf(one.waiting)
}

function sumOf({ high, normal, low }: Flow['waiting']): number {
  return high + normal + low
}

function modesOf(pools: readonly SeenPool[]): ReadonlyMap<string, AdmissionMode> {
  const modes = new Map<string, AdmissionMode>()
  for (const { records } of pools)
    for (const record of records)
      if (record.admission !== undefined) modes.set(modelKey(record), record.admission.mode)
  return modes
}

/** Of a model's cost, and of what its manifest says, only workers know: where one speaks, doors go by it. */
function wordOf(
  { pool, model, waiting, gates }: Said,
  { facts, name, everyMs }: WordsInput,
  modes: ReadonlyMap<string, AdmissionMode>,
): Word {
  const flow: Flow = {
    ...{ by: 'control', name, at: facts.at, everyMs },
    ...{ drainRows: 0, rowsPerEvent: 1, heavy: [] },
    ...{ held: NONE, handedRows: NONE, deadlineMs: NONE, maxBacklogSeconds: NONE },
    ...{ waiting, gates, mode: modes.get(modelKey({ pool, model })) ?? 'enforce' },
  }
  return { pool, model, flow }
}

function consumerOf(pool: string, lane: Lane): string {
  return featureConsumer(pool, lane).durable_name
}
