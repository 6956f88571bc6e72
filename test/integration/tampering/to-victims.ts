import { type Evidence, erase, namesOf, put } from './evidence.ts'
import type { HistoryStage } from './history-stage.ts'
import type { Stored } from './stored.ts'
import type { About, Excuse, Owed, Tamper } from './tamper.ts'

type Victims = (evidence: Evidence) => readonly Stored[]
type Act<What> = (victim: Stored, stage: HistoryStage, evidence: Evidence) => Promise<What>

/** Does something to one of these, and says what is owed for it. */
export function toOne(about: About, victims: Victims, act: Act<Owed | undefined>): Tamper {
  return {
    ...about,
    async act(stage, evidence, free) {
      const victim = free.one(victims(evidence), evidence)
      return victim && act(victim, stage, evidence)
    },
  }
}

/** Does something to one outcome of an event; it must be found unless it is said why not. */
export function toOutcome(about: About, victims: Victims, change: Act<unknown>, excuse?: Excuse): Tamper {
  return toOne(about, victims, async (victim, stage, evidence) => {
    await change(victim, stage, evidence)
    return excuse === undefined ? { found: [namesOf(evidence, victim)] } : { excused: excuse }
  })
}

type Swap = (one: Stored, other: Stored) => readonly Stored[]

/** Stores others in the place of two. @param owed default: each of the two must be found */
export function swap(
  about: About,
  victims: Victims,
  how: Swap,
  owed: (two: readonly Stored[], evidence: Evidence) => Owed = eachNamed,
): Tamper {
  return {
    ...about,
    async act(stage, evidence, free) {
      const two = free.two(victims(evidence), evidence)
      if (two === undefined) return undefined
      for (const one of two) await erase(stage, one)
      for (const one of how(...two)) await put(stage, one)
      return owed(two, evidence)
    },
  }
}

const eachNamed = (two: readonly Stored[], evidence: Evidence): Owed => ({
  found: two.map((one) => namesOf(evidence, one)),
})

/** The same two, the later one first. */
export const otherOrder: Swap = (one, other) => [other, one]

/** Each with the body of the other. */
export const otherBodies: Swap = (one, other) => [
  { ...one, body: other.body },
  { ...other, body: one.body },
]

/** Each under the subject of the other. */
export const otherSubjects: Swap = (one, other) => [
  { ...one, subject: other.subject },
  { ...other, subject: one.subject },
]
