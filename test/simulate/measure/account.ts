import type { Lane } from '../../../shared/sdk/contract/subjects.ts'
import type { Within } from '../../scenarios/measure/account.ts'
import { recoveredAfter } from '../../scenarios/measure/account.ts'
import type { SimEvent } from '../load/event.ts'
import { HOT } from '../load/shapes.ts'
import type { Ending } from '../pool/order.ts'
import { type Figures, Tally } from './tally.ts'

/** Length of a slice of a time line, milliseconds. */
export const SLICE_MS = 250

/** A part of a run, by when events were sent. */
export interface Slice extends Figures {
  /** What waits and is held at its end, seconds of what the pool carries. */
  readonly backlogSeconds: number
  /** What the pool carries in it, events. */
  readonly carried: number
}

/** An event was lost, or counted twice. */
export class NotClosed extends Error {}

const GROUPS = ['all', 'high', 'normal', 'low', 'hot', 'others'] as const
export type Group = (typeof GROUPS)[number]

/** What became of the events of a run. */
export interface Account {
  /** Of those sent while it was looked. */
  readonly groups: Readonly<Record<Group, Figures>>
  /** Of these, refusals by the limit that refused. */
  readonly refusedBy: Readonly<Record<string, number>>
  readonly endedBy: Readonly<Record<Ending, number>>
  /** Predictions in time, as a part of what could be carried of what was sent. */
  readonly goodput: number
  /** Runs that ended too late, as a part of all. */
  readonly wasted: number
  /** Clients, by their first try, and those that had a prediction in time in the end. */
  readonly clients: number
  readonly succeeded: number
  /** Seconds after the load fell until all is carried again; undefined where it never was. */
  readonly recoverySeconds: number | undefined
  readonly slices: readonly Slice[]
}

/** Takes down what becomes of each event. */
export class Books {
  readonly #shown: Within
  readonly #slices: { readonly tally: Tally; backlogSeconds: number; carried: number }[]
  readonly #groups = Object.fromEntries(GROUPS.map((group) => [group, new Tally()])) as Record<Group, Tally>
  readonly #whole = new Tally()
  readonly #refusedBy = new Map<string, number>()
  readonly #endedBy: Record<Ending, number> = { 'deadline-exceeded': 0 }
  #clients = 0
  #succeeded = 0

  constructor(shown: Within, slices: number) {
    this.#shown = shown
    this.#slices = Array.from({ length: slices }, () => ({
      ...{ tally: new Tally(), backlogSeconds: 0, carried: 0 },
    }))
  }

  /** How much waits at the end of a slice, and what is carried in it. */
  looked(slice: number, seen: Pick<Slice, 'backlogSeconds' | 'carried'>): void {
    Object.assign(this.#slices[slice] ?? {}, seen)
  }

  sent(event: SimEvent): void {
    if (event.attempt === 1) this.#clients++
    for (const tally of this.#of(event)) tally.sent++
  }

  refused(event: SimEvent, limit: string): void {
    for (const tally of this.#of(event)) tally.refusals++
    if (this.#isShown(event)) this.#refusedBy.set(limit, (this.#refusedBy.get(limit) ?? 0) + 1)
  }

  predicted(event: SimEvent, atMs: number): void {
    if (atMs <= event.endsAtMs) this.#succeeded++
    for (const tally of this.#of(event)) tally.predicted(event, atMs)
  }

  ended(event: SimEvent, ending: Ending): void {
    for (const tally of this.#of(event)) tally.deadLetters++
    if (this.#isShown(event)) this.#endedBy[ending]++
  }

  /** @throws NotClosed where sent ≠ predictions + dead letters + refusals */
  close(): Account {
    const { sent, predictions, deadLetters, refusals } = this.#whole.figures
    if (sent !== predictions + deadLetters + refusals)
      throw new NotClosed(
        `the account does not close: ${sent} sent, ${predictions} predictions, ${deadLetters} dead letters, ${refusals} refusals`,
      )
    const slices = this.#slices.map(({ tally, ...seen }) => ({ ...tally.figures, ...seen }))
    const groups = mapGroups((group) => this.#groups[group].figures)
    const { all } = groups
    return {
      ...{ groups, slices, clients: this.#clients, succeeded: this.#succeeded },
      refusedBy: Object.fromEntries([...this.#refusedBy].sort()),
      endedBy: this.#endedBy,
      goodput: all.inTime / this.#couldBeCarried(slices),
      wasted: all.predictions === 0 ? 0 : 1 - all.inTime / all.predictions,
      recoverySeconds: recoverySeconds(slices, Math.ceil(this.#shown.toMs / SLICE_MS)),
    }
  }

  #couldBeCarried(slices: readonly Slice[]): number {
    const { fromMs, toMs } = this.#shown
    return slices
      .slice(Math.floor(fromMs / SLICE_MS), Math.ceil(toMs / SLICE_MS))
      .reduce((sum, { sent, carried }) => sum + Math.min(sent, carried), 0)
  }

  #isShown({ sentAtMs }: SimEvent): boolean {
    return sentAtMs >= this.#shown.fromMs && sentAtMs < this.#shown.toMs
  }

  #of(event: SimEvent): readonly Tally[] {
    const slice = this.#slices[Math.floor(event.sentAtMs / SLICE_MS)]
    const always = slice === undefined ? [this.#whole] : [this.#whole, slice.tally]
    if (!this.#isShown(event)) return always
    const { all, hot, others } = this.#groups
    return [...always, all, this.#groups[event.lane satisfies Lane], event.source === HOT ? hot : others]
  }
}

function mapGroups(figures: (group: Group) => Figures): Readonly<Record<Group, Figures>> {
  return Object.fromEntries(GROUPS.map((group) => [group, figures(group)])) as Record<Group, Figures>
}

function recoverySeconds(slices: readonly Slice[], from: number): number | undefined {
  const seconds = slices.map(({ sent, inTime, p99Ms }) => ({ offered: sent, inTime, p99Ms }))
  const after = recoveredAfter(seconds, from)
  return after === undefined ? undefined : (after * SLICE_MS) / 1_000
}
