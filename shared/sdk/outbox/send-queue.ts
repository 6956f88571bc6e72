import { Pace } from './pace.ts'

/** What waits for one subject, and what of it is under way. */
interface Line {
  readonly subject: string
  /** In order, from `head` on. */
  positions: number[]
  head: number
  /** Came back, in order: few, and mostly before all of `positions`. */
  returned: number[]
  readonly underWay: Set<number>
  readonly pace: Pace
  /** 0, or the number of its last unanswered send among those of all subjects. */
  unanswered: number
}

/** Taken positions are kept in front of `head` until there are this many of them. */
const SPENT = 4_096

/**
 * The order in which an outbox sends: as accepted, over all subjects. A subject that the stream refuses for itself (its
 * model has too many events waiting) pauses alone and is overtaken; order within a subject stays. One whose sends get
 * no answer comes after all others, or it would keep them from being tried.
 */
export class SendQueue {
  readonly #lines = new Map<string, Line>()
  readonly #most: number
  readonly #random: () => number
  #waiting = 0
  #underWay = 0
  #unanswered = 0

  /** @param most sends under way per subject at once */
  constructor(most: number, random: () => number = Math.random) {
    this.#most = most
    this.#random = random
  }

  /** Positions that are neither settled nor under way. */
  get waiting(): number {
    return this.#waiting
  }

  /** Positions taken and not settled. */
  get underWay(): number {
    return this.#underWay
  }

  /** Adds a position behind the others of its subject. */
  add(position: number, subject: string): void {
    const line = this.#line(subject)
    const last = line.positions.length > line.head ? line.positions.at(-1) : undefined
    if (last !== undefined && last > position) insert(line.returned, position)
    else line.positions.push(position)
    this.#waiting++
  }

  /** Takes up to `count` positions that may be sent now, in order. */
  take(count: number, now: number): number[] {
    const taken: number[] = []
    while (taken.length < count) {
      const line = this.#next(now)
      if (line === undefined) break
      const position = headOf(line) === line.returned[0] ? line.returned.shift() : this.#advance(line)
      if (position === undefined) break
      line.underWay.add(position)
      taken.push(position)
    }
    this.#waiting -= taken.length
    this.#underWay += taken.length
    return taken
  }

  /** A position was dealt with: stored, or rejected. */
  settle(position: number, subject: string): void {
    const line = this.#line(subject)
    if (!line.underWay.delete(position)) return
    this.#underWay--
    line.pace.succeeded()
    line.unanswered = 0
    if (headOf(line) === undefined && line.underWay.size === 0) this.#lines.delete(subject)
  }

  /** A position was not sent: it waits again, before the others of its subject. */
  putBack(position: number, subject: string): void {
    const line = this.#line(subject)
    if (!line.underWay.delete(position)) return
    this.#underWay--
    this.#waiting++
    insert(line.returned, position)
  }

  /** This subject is refused for itself. @param forMs how long it pauses, milliseconds, where that was said */
  pause(subject: string, now: number, forMs?: number): void {
    this.#line(subject).pace.failed(now, forMs)
  }

  /** The broker does not tell what became of a send to this subject: it pauses, and the others come first. */
  doubt(subject: string, now: number): void {
    this.pause(subject, now)
    this.#line(subject).unanswered = ++this.#unanswered
  }

  /** Milliseconds until a paused subject may be tried again; `undefined` where none pauses. */
  pauseMs(now: number): number | undefined {
    const pauses = [...this.#lines.values()].map((line) => line.pace.pauseMs(now)).filter((ms) => ms > 0)
    return pauses.length === 0 ? undefined : Math.min(...pauses)
  }

  /** Ends all pauses and doubts. */
  resume(): void {
    for (const line of this.#lines.values()) {
      line.pace.resume()
      line.unanswered = 0
    }
  }

  /** The first position that is not settled. */
  oldest(): number | undefined {
    const firsts = [...this.#lines.values()].flatMap((line) => [headOf(line) ?? [], ...line.underWay].flat())
    return firsts.length === 0 ? undefined : firsts.reduce((least, position) => Math.min(least, position))
  }

  /** Whether anything up to a position is not settled. */
  hasUpTo(position: number): boolean {
    const oldest = this.oldest()
    return oldest !== undefined && oldest <= position
  }

  #line(subject: string): Line {
    const there = this.#lines.get(subject)
    if (there !== undefined) return there
    const pace = new Pace(this.#most, this.#random)
    const underWay = new Set<number>()
    const made = { subject, positions: [], head: 0, returned: [], underWay, pace, unanswered: 0 }
    this.#lines.set(subject, made)
    return made
  }

  /** The line with the first position of those that may send; of those in doubt, the one tried longest ago. */
  #next(now: number): Line | undefined {
    let best: Line | undefined
    let first = Number.POSITIVE_INFINITY
    for (const line of this.#lines.values()) {
      const head = headOf(line)
      if (head === undefined || line.pace.room(now, line.underWay.size) === 0) continue
      const doubt = line.unanswered - (best?.unanswered ?? Number.POSITIVE_INFINITY)
      if (doubt > 0 || (doubt === 0 && head >= first)) continue
      best = line
      first = head
    }
    return best
  }

  /** Moves a line's head on. @returns where it was */
  #advance(line: Line): number | undefined {
    const position = line.positions[line.head++]
    if (line.head < SPENT && line.head < line.positions.length) return position
    line.positions = line.positions.slice(line.head)
    line.head = 0
    return position
  }
}

function headOf({ returned, positions, head }: Line): number | undefined {
  const [first, second] = [returned[0], positions[head]]
  return first === undefined || (second !== undefined && second < first) ? second : first
}

/** Puts a position where it belongs in a short sorted list. */
function insert(list: number[], position: number): void {
  const at = list.findIndex((other) => other > position)
  list.splice(at === -1 ? list.length : at, 0, position)
}
