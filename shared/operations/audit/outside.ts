import type { NatsConnection } from '@nats-io/transport-node'
import { showCount, showDuration } from '../../runtime/quantities.ts'
import { readPromised, readSync } from '../broker/durability.ts'
import { type MarksFolder, readMarksFolder } from '../watch-record/durable-marks.ts'
import { type Mark, type StepBack, stepsBack } from '../watch-record/marks.ts'
import type { Found } from './start.ts'

/** Where an audit learns what its broker may have forgotten. */
export interface Outside {
  /** Folder of the durable marks: `PELTON_MARKS_FOLDER`. Without it nothing is known of a loss that took all with it. */
  readonly marksFolder?: string | undefined
  /** Monitoring of each server, which tells whether it syncs. Without it that is not known. */
  readonly monitorUrls?: readonly string[] | undefined
}

/** What was read outside of the broker. */
export interface OutsideKnown {
  /** Undefined where no folder is named. */
  readonly folder: string | undefined
  readonly files: MarksFolder
}

/** A FEATURES of this broker that is gone, as far as it had come when it was seen last. */
export interface GoneFeatures {
  readonly epoch: string
  readonly sequence: number
  /** Milliseconds since 1970. */
  readonly at: number
}

/** What the durable marks say about the streams as they are. */
export interface OutsideJudged {
  /** Of this FEATURES. */
  readonly marks: readonly Mark[]
  /** Sequences given out a second time since the signed-off floor. */
  readonly takenBack: readonly StepBack[]
  /** Made anew since the signed-off floor. */
  readonly gone: readonly GoneFeatures[]
}

/** Reads the durable marks; never throws. */
export async function readOutside({ marksFolder }: Outside): Promise<OutsideKnown> {
  if (marksFolder === undefined) return { folder: undefined, files: { marks: [], damaged: [] } }
  return { folder: marksFolder, files: await readMarksFolder(marksFolder) }
}

/**
 * Decides what of it is of this broker. Pure.
 *
 * @param signedAt when the floor was signed off that counts, milliseconds since 1970: what it covers is explained
 */
export function judgeOutside({ files }: OutsideKnown, found: Found, signedAt: number): OutsideJudged {
  const { features, ledger } = found
  const own = files.marks.find((each) => each.features.epoch === features.epoch)
  const marks = own?.features.marks ?? []
  const others = files.marks.filter(
    (each) => each.features.epoch !== features.epoch && each.ledger === ledger.epoch,
  )
  const gone = others.flatMap(({ features: { epoch, marks: then } }) => {
    const [at, sequence] = then.at(-1) ?? [0, 0]
    return sequence > 0 && at > signedAt ? [{ epoch, sequence, at }] : []
  })
  // What FEATURES ends before is not taken back any more than it was: that is told by itself, with its remedy.
  const takenBack = stepsBack(marks, signedAt).filter(({ from }) => from <= features.lastSequence)
  return { marks, takenBack, gone }
}

/** How the broker keeps what it acknowledges: 0 with each write; undefined where it does not tell. */
export interface Syncs {
  readonly syncMs: number | undefined
  /** Streams that acknowledge before they write. */
  readonly unwritten: readonly string[]
}

/**
 * Asks the broker how it syncs; what cannot be asked is not known. Never throws. Nothing is asked of the system account: few
 * users may, and each try of another is a line in the broker's log.
 */
export async function askSyncs(connection: NatsConnection, { monitorUrls }: Outside): Promise<Syncs> {
  const nothing = { syncMs: undefined, unwritten: [] }
  const streams = readPromised(connection).catch(() => undefined)
  const asked =
    monitorUrls === undefined ? nothing : readSync({ connection, monitorUrls }).catch(() => nothing)
  const servers = await asked
  return { syncMs: servers.syncMs, unwritten: (await streams)?.unwritten ?? [] }
}

/** A mark that is older than this is not being written any more, milliseconds: twelve times the longest pause. */
const STALE_MS = 60_000

/**
 * What this audit cannot know, in one line; undefined where marks are kept and the broker syncs before it acknowledges. Pure.
 *
 * @param now broker time, milliseconds since 1970
 */
export function blindSpot(
  known: OutsideKnown,
  marks: readonly Mark[],
  syncs: Syncs,
  now: number,
): string | undefined {
  const syncing = withoutSync(syncs)
  const last = marks.at(-1)
  const isStale = last !== undefined && now - last[0] > STALE_MS
  if (syncing === undefined && last !== undefined && !isStale) return undefined
  const what = last === undefined ? 'events' : `events stored after ${showMark(last)}`
  const why = [
    ...(syncing === undefined ? [] : [syncing]),
    ...(last === undefined ? [withoutMarks(known)] : []),
    ...(isStale ? ['nobody writes durable marks any more'] : []),
  ]
  return `Cannot be known: ${what} that a loss of power, or an older copy of the broker, took with their records: ${why.join('; ')}.`
}

function showMark([at, sequence]: Mark): string {
  return `the last durable mark (sequence ${showCount(sequence)}, ${new Date(at).toISOString()})`
}

function withoutMarks({ folder }: OutsideKnown): string {
  return folder === undefined
    ? 'PELTON_MARKS_FOLDER names no folder of durable marks'
    : `${folder} has no durable mark of this FEATURES`
}

function withoutSync({ syncMs, unwritten }: Syncs): string | undefined {
  if (unwritten.length > 0) return `${unwritten.join(', ')} acknowledge before they write`
  if (syncMs === 0) return undefined
  return syncMs === undefined
    ? 'how the broker syncs before it acknowledges cannot be read'
    : `the broker acknowledges first and syncs every ${showDuration(syncMs)}`
}
