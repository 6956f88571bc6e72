import type { NatsConnection } from '@nats-io/transport-node'
import { PeltonError } from '../../sdk/errors.ts'
import { readValue } from '../records/key-value.ts'
import { type Mark, readMarks, stepsBack } from '../watch-record/marks.ts'
import { WATCH_KEY, type WatchRecord } from '../watch-record/record.ts'
import type { OpenThen } from './accounts.ts'
import { type Floor, readFloor } from './floor.ts'
import { judgeOutside, type Outside, type OutsideJudged, type OutsideKnown, readOutside } from './outside.ts'

/** What is known of FEATURES before it is read. */
export interface Known {
  readonly floor: Floor | undefined
  /** Revision of the floor. */
  readonly revision: number
  /** What the watch of a control service noted. */
  readonly features: WatchRecord['features']
  /** What is known of it outside of the broker. */
  readonly outside: OutsideKnown
}

/** The streams an audit finds. */
export interface Found {
  readonly features: { readonly epoch: string; readonly lastSequence: number }
  /** Creation times of the streams that are made after FEATURES. */
  readonly madeAfter: Readonly<Record<string, string>>
  readonly ledger: {
    readonly epoch: string
    readonly firstSequence: number
    readonly lastSequence: number
  }
}

/** Where an audit starts, and what it has to explain. */
export interface Start {
  /** The floor it starts from. */
  readonly floor: Floor | undefined
  readonly openThen: OpenThen
  /** A floor of another FEATURES, whose waiting events no audit will find there any more. */
  readonly earlier: Floor | undefined
  /** The floor that an operator signed off, where it is of the FEATURES of today: what was known by then is signed for. */
  readonly signed: Floor | undefined
  /** Why it is known that FEATURES was made anew, and that nobody has signed for it. */
  readonly remade: string | undefined
  readonly marks: readonly Mark[]
  /** FEATURES had given out this sequence before. */
  readonly reached: number
  /** What the durable marks say. */
  readonly outside: OutsideJudged & OutsideKnown
  readonly warnings: readonly string[]
}

/** Reads what is known, before FEATURES itself is read: it may only have grown since. */
export async function readKnown(connection: NatsConnection, outside: Outside): Promise<Known> {
  const { floor, revision } = await readFloor(connection)
  return {
    ...{ floor, revision, features: await readFeatureMarks(connection) },
    outside: await readOutside(outside),
  }
}

/** Without them an audit knows less. What is damaged is none. */
async function readFeatureMarks(connection: NatsConnection): Promise<WatchRecord['features']> {
  try {
    return readMarks((await readValue<WatchRecord>(connection, WATCH_KEY))?.value.features)
  } catch (thrown) {
    if (thrown instanceof PeltonError && thrown.code === 'broker-unavailable') throw thrown
    return undefined
  }
}

/** From where an audit was asked for. */
export interface Asked {
  /** From the first event. */
  readonly isFull: boolean
  /** From a floor that no operator signed off, where it counts and is later than the one that was. */
  readonly since?: Floor | undefined
}

/** Decides what of it counts for the streams as they are. Pure. */
export function startFrom(known: Known, found: Found, { isFull, since }: Asked): Start {
  const { floor } = known
  const { epoch } = found.features
  const noted = known.features?.epoch === epoch ? known.features.marks : []
  const signed: readonly Mark[] = floor?.epoch === epoch ? [[Date.parse(floor.at), floor.sequence]] : []
  const doubts = floor === undefined ? [] : doubtsOf(floor, found)
  const isSigned = floor?.epoch === epoch && floor.sequence <= found.features.lastSequence
  const signedAt = signed[0]?.[0] ?? 0
  const outside = { ...known.outside, ...judgeOutside(known.outside, found, signedAt) }
  const marks = [...noted, ...outside.marks, ...signed]
  return {
    marks,
    signed: isSigned ? floor : undefined,
    remade: isSigned ? undefined : remadeBecause(known, epoch, found.madeAfter),
    reached: Math.max(0, ...marks.map(([, sequence]) => sequence)),
    outside,
    ...startAt(laterOf(floor, since, found), found, isFull),
    warnings: [
      ...doubts.map((doubt) => `The floor of ${floor?.at} ${doubt}`),
      ...stepsBack(noted, signedAt).map(
        ({ at, from, to }) =>
          `FEATURES went back from ${from} to ${to} before ${new Date(at).toISOString()}: events accepted since then ` +
          'have numbers that others had, and the ledger may name those. See docs/audit.md.',
      ),
    ],
  }
}

/**
 * A FEATURES that is younger than what is made after it, or than what a floor or the watch knew, was made anew. Where
 * only the ledger tells of another one, that is found when it is read.
 */
export function remadeBecause(
  { floor, features }: Pick<Known, 'floor' | 'features'>,
  epoch: string,
  madeAfter: Found['madeAfter'],
): string | undefined {
  if (floor !== undefined && floor.epoch !== epoch)
    return `a floor was signed off of one created ${floor.epoch}`
  if (features !== undefined && features.epoch !== epoch) return `the watch saw one created ${features.epoch}`
  const older = Object.entries(madeAfter).find(([, created]) => Date.parse(created) < Date.parse(epoch))
  return older && `the ${older[0]}, which is made after it, was created ${older[1]}`
}

const FROM_THE_FIRST: OpenThen = { sequence: 0, waiting: [], retries: [] }
const WITHOUT_FLOOR = { floor: undefined, openThen: FROM_THE_FIRST, earlier: undefined }

/** A floor that no operator signed off is no reason to warn: it is passed over where it does not count. */
function laterOf(signedOff: Floor | undefined, since: Floor | undefined, found: Found): Floor | undefined {
  if (since === undefined || doubtsOf(since, found).length > 0) return signedOff
  const isOther = signedOff?.ledger.epoch !== since.ledger.epoch
  return isOther || (signedOff?.ledger.next ?? 0) < since.ledger.next ? since : signedOff
}

function startAt(
  floor: Floor | undefined,
  found: Found,
  isFull: boolean,
): Pick<Start, 'floor' | 'openThen' | 'earlier'> {
  if (floor === undefined) return WITHOUT_FLOOR
  const { epoch, lastSequence } = found.features
  const isOfToday = floor.epoch === epoch
  const isUsed = !isFull && isOfToday && floor.sequence <= lastSequence && isLedgerOf(floor, found)
  // What was open then may have come to its end in a record that expired since.
  const retries = hasExpiredSince(floor, found) ? [] : floor.retries
  if (isUsed) return { floor, openThen: { ...floor, retries }, earlier: undefined }
  if (isOfToday) return WITHOUT_FLOOR
  const ofThen = retries.map((event) => ({ ...event, epoch: floor.epoch }))
  const earlier = hasExpiredSince(floor, found) ? undefined : floor
  return { floor: undefined, openThen: { ...FROM_THE_FIRST, retries: ofThen }, earlier }
}

function isLedgerOf({ ledger: { epoch, next } }: Floor, { ledger }: Found): boolean {
  return epoch === ledger.epoch && next <= ledger.lastSequence + 1
}

function hasExpiredSince(floor: Floor, { ledger }: Found): boolean {
  return floor.ledger.epoch === ledger.epoch && floor.ledger.next < ledger.firstSequence
}

/** Why a floor says less than it should. */
function doubtsOf(floor: Floor, found: Found): string[] {
  const { features, ledger } = found
  const doubts: string[] = []
  if (floor.epoch !== features.epoch)
    doubts.push(`is of another FEATURES, created ${floor.epoch}: it was deleted and made anew`)
  else if (floor.sequence > features.lastSequence)
    doubts.push(`is not used: FEATURES ends before it, at ${features.lastSequence}`)
  if (floor.ledger.epoch !== ledger.epoch)
    doubts.push(`is not used: it is of another LEDGER, created ${floor.ledger.epoch}`)
  else if (!isLedgerOf(floor, found))
    doubts.push(`is not used: the LEDGER ends before it, at ${ledger.lastSequence}`)
  if (hasExpiredSince(floor, found))
    doubts.push('is older than what the LEDGER keeps: what was open then cannot be proven')
  return doubts
}
