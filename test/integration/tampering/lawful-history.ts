import type { HistoryStage } from './history-stage.ts'
import { EXPIRY, type LawfulAct, TRAFFIC } from './lawful-acts.ts'
import { OPERATORS } from './operator-acts.ts'

const BEGINNING = ['publishing', 'served', 'publishing', 'served', 'served late'] as const

/** Acts of the end of a history that is to be tampered with: there is something in each stream and bucket. */
const ENDING = [
  'publishing',
  'served',
  'removed',
  'replay left',
  'publishing',
  'served',
  'publishing',
] as const

const ACTS: Readonly<Record<string, LawfulAct>> = { ...TRAFFIC, ...OPERATORS, ...EXPIRY }

export interface HistoryOptions {
  /** Acts in the middle. */
  readonly acts: number
  /** Whether streams may drop by their limits: then an audit knows less. */
  readonly expires: boolean
  /** Acts that must be among them: the first before the others, the second after them. */
  readonly must?: readonly [first: string, last: string]
  /** Told each act before it is done, and when it has been. */
  readonly onAct?: (name: string) => Promise<void>
}

/** Lets a broker live: everything that may happen lawfully, in an order the seed chooses. @returns the acts, in order */
export async function liveThrough(stage: HistoryStage, options: HistoryOptions): Promise<string[]> {
  const operators = Object.keys(OPERATORS)
  // Streams that are provisioned again have their usual limits again: what dropped by others would look missing.
  const beside = operators.filter((name) => name !== 'FEATURES made anew')
  const rare = options.expires ? [...beside, ...Object.keys(EXPIRY)] : operators
  const any = (): string => (stage.random() < 0.5 ? stage.pick(Object.keys(TRAFFIC)) : stage.pick(rare))
  const [first, last] = options.must ?? []
  const middle = [first, ...Array.from({ length: options.acts }, any), last].filter(
    (name) => name !== undefined,
  )
  const names = [...BEGINNING, ...middle, ...(options.expires ? [] : ENDING)]
  const done: string[] = []
  for (const name of names) {
    await ACTS[name]?.(stage)
    done.push(name)
    await options.onAct?.(done.join(', '))
  }
  return done
}
