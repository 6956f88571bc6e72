import { createNames as createContractNames } from '../../sdk/contract/names.ts'
import { LANES, type Lane } from '../../sdk/contract/subjects.ts'
import { ARTIFACTS_STREAM, STORES, STREAMS } from '../../sdk/contract/topology.ts'

/** A user that publishes events, into its lanes alone. */
export interface Publisher {
  readonly user: string
  readonly lanes: readonly Lane[]
}

/** What one Pelton is called at the broker. */
export interface Pelton {
  /** Names of a Pelton that shares its account; none for one that has it for itself. */
  readonly prefix?: string | undefined
  readonly pools: readonly string[]
  /** Users that publish, gateways, and users that read results: each has an inbox of its own. */
  readonly producers: readonly Publisher[]
  readonly gateways: readonly Publisher[]
  readonly subscribers: readonly string[]
  /** Domain of JetStream, where the servers have one. */
  readonly domain?: string | undefined
  /** What all inboxes lie below: those of a user below `<inboxPrefix>.<user>`. */
  readonly inboxPrefix: string
}

type Named<Table> = Readonly<Record<keyof Table, string>>

/** Names and subjects of one Pelton, as rights are written in them. */
export interface Names {
  readonly streams: Named<typeof STREAMS>
  readonly stores: Named<typeof STORES>
  readonly artifacts: string
  /** Who publishes: they may ask workers for wake-ups. */
  readonly producers: readonly Publisher[]
  readonly gateways: readonly Publisher[]
  /** Whether it has its account for itself. */
  readonly isAlone: boolean
  /** A subject of the contract, in this Pelton. */
  subject(canonical: string): string
  /** A request to JetStream, in each form a server may hold it against rights. */
  api(request: string): readonly string[]
  userOf(role: string): string
  inboxOf(user: string): string
}

export function createNames({ prefix, producers, gateways, domain, inboxPrefix }: Pelton): Names {
  const { stream, subject } = createContractNames(prefix)
  const named = <Table extends Readonly<Record<string, string>>>(table: Table): Named<Table> =>
    Object.fromEntries(Object.entries(table).map(([key, name]) => [key, stream(name)])) as Named<Table>
  return {
    streams: named(STREAMS),
    stores: named(STORES),
    artifacts: stream(ARTIFACTS_STREAM),
    producers,
    gateways,
    isAlone: prefix === undefined,
    subject,
    // A server of the domain takes the second for the first before it looks at the rights; any other passes it on as it is.
    api: (request) => [
      `$JS.API.${request}`,
      ...(domain === undefined ? [] : [`$JS.${domain}.API.${request}`]),
    ],
    userOf: (role) => (prefix === undefined ? role : `${prefix}-${role}`),
    inboxOf: (user) => `${inboxPrefix}.${user}`,
  }
}

/** Something of each lane. */
export function ofLanes(
  each: (lane: Lane) => readonly string[],
  lanes: readonly Lane[] = LANES,
): readonly string[] {
  return lanes.flatMap(each)
}

/** The lanes of some of them, in order. */
export function lanesOf(publishers: readonly Publisher[]): readonly Lane[] {
  return LANES.filter((lane) => publishers.some(({ lanes }) => lanes.includes(lane)))
}
