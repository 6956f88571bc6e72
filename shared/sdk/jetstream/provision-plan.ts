import { type BoundWish, boundWishes } from '../contract/bounds.ts'
import type { Names } from '../contract/names.ts'
import type { ConsumerSpec, StreamSpec } from '../contract/topology.ts'
import { PeltonError } from '../errors.ts'
import { namedConfig } from './api-names.ts'
import { fitBounds, type ToBound } from './fit-bounds.ts'
import { isForeign, nameTaken } from './foreign-stream.ts'
import { fitted, isWish, planChange, planConsumerChange } from './plan-change.ts'
import { againstLimits, takenBy } from './plan-obstacles.ts'
import type { Found } from './provision-found.ts'

/** What Pelton needs. */
export interface Wanted {
  readonly specs: readonly StreamSpec[]
  readonly consumers: readonly ConsumerSpec[]
  /** The server's `max_payload`. */
  readonly maxPayload: number
  /** What the broker calls all of it. */
  readonly names: Names
}

/** A stream as it is to be made. */
export interface PlannedStream {
  /** With the bound that it gets. */
  readonly spec: StreamSpec
  /** As it was asked for: what one that is there is held against. */
  readonly asked: StreamSpec
  /** Where it may have less than that. */
  readonly wish: BoundWish | undefined
}

export interface Plan {
  readonly streams: readonly PlannedStream[]
  /** Everything that would be made or changed, for people. */
  readonly steps: readonly string[]
  /** Everything that is in the way, each a `not-provisioned`: where there is one, nothing is made. */
  readonly obstacles: readonly PeltonError[]
}

/** Works out all that has to be made or changed, and whether the account has room for it. Pure. */
export function planProvision(wanted: Wanted, found: Found): Plan {
  const { specs, consumers, maxPayload } = wanted
  const { account } = found
  const missing = specs.filter(({ name }) => !found.streams.has(name))
  const toBound = missing.map((spec) => boundOf(spec, account.needsMaxBytes, maxPayload))
  const changes = planChanges(wanted, found)
  const used = reservedFor(wanted, found)
  const left = (account.maxStorage - used) / account.counts - changes.growth
  const room = { all: Math.floor(left), one: account.maxStreamBytes }
  const fit = fitBounds(toBound, room)
  const wishes = new Map(toBound.map(({ name, wish }) => [name, wish]))
  const streams = specs.map((asked) => ({
    asked,
    spec: withBytes(asked, fit.bytes.get(asked.name)),
    wish: wishes.get(asked.name),
  }))
  return {
    streams,
    steps: [
      ...streams
        .filter(({ spec }) => !found.streams.has(spec.name))
        .map(({ spec }) => `would create stream ${spec.name}${sizeOf(spec)}`),
      ...changes.steps,
      ...consumers
        .filter(({ durable_name }) => !found.consumers.has(durable_name))
        .map(({ durable_name }) => `would create consumer ${durable_name}`),
    ],
    obstacles: [
      ...changes.obstacles,
      ...takenBy(found.overlaps, wanted.names),
      ...againstLimits(wanted, found, { ...{ missing, toBound, room, fit, used }, growth: changes.growth }),
    ],
  }
}

/**
 * What counts against the storage of the account now. It tells the bounds of its streams once each, and holds every copy
 * against the limit: those of streams that are not Pelton's are not known, and count once.
 */
function reservedFor({ specs }: Wanted, { account, streams }: Found): number {
  let used = account.reservedStorage
  for (const { name, num_replicas: wanted } of account.counts > 1 ? specs : []) {
    const { max_bytes: bytes = -1, num_replicas: copies = 1 } = streams.get(name)?.config ?? {}
    if (Number(bytes) > 0) used += Number(bytes) * (Math.max(Number(copies), wanted) - 1)
  }
  return used
}

/** What a stream that is missing has to have, or wishes for. */
function boundOf(spec: StreamSpec, isRequired: boolean, maxPayload: number): ToBound {
  const { name, max_bytes: bytes } = spec
  const isOpen = isWish(spec) || (isRequired && bytes === undefined)
  const wish = isOpen ? boundWishes(maxPayload).get(name) : undefined
  return { name, bytes, wish }
}

function withBytes(spec: StreamSpec, bytes: number | undefined): StreamSpec {
  return bytes === undefined ? spec : { ...spec, max_bytes: bytes }
}

function sizeOf({ max_bytes: bytes }: StreamSpec): string {
  return bytes === undefined ? '' : `, max_bytes ${bytes}`
}

interface Changes {
  readonly steps: readonly string[]
  readonly obstacles: readonly PeltonError[]
  /** Bytes by which bounds grow. */
  readonly growth: number
}

/** What changes of the streams and consumers that are there; what may not change is in the way. */
function planChanges({ specs, consumers, names }: Wanted, found: Found): Changes {
  const steps: string[] = []
  const obstacles: PeltonError[] = []
  let growth = 0
  const plan = (what: string, change: () => ReturnType<typeof planChange>): void => {
    try {
      const planned = change()
      if (planned !== undefined) steps.push(`would change ${what}: ${planned.summary}`)
    } catch (thrown) {
      if (!(thrown instanceof PeltonError)) throw thrown
      obstacles.push(thrown)
    }
  }
  for (const spec of specs) {
    const config = found.streams.get(spec.name)?.config
    if (config === undefined) continue
    const what = `stream ${spec.name}`
    const wanted = namedConfig(names, fitted(spec, config))
    if (isForeign(wanted, config)) {
      obstacles.push(nameTaken(wanted, config))
      continue
    }
    plan(what, () => planChange(what, config, { ...wanted }, untold))
    const before = Number(config.max_bytes ?? -1)
    if (before > 0) growth += Math.max(0, (wanted.max_bytes ?? 0) - before)
  }
  for (const spec of consumers) {
    const config = found.consumers.get(spec.durable_name)
    if (config !== undefined)
      plan(`consumer ${spec.durable_name}`, () =>
        planConsumerChange(namedConfig(names, spec), config, untold),
      )
  }
  return { steps, obstacles, growth }
}

/** What stays larger than asked is told when the rest is made. */
function untold(): void {}
