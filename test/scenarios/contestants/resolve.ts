import type { Drive, Driven } from '../load/generator.ts'
import { intendedTimes } from '../load/schedule.ts'
import { FATE, type Fates, type Stored } from '../measure/account.ts'
import type { RegisterEntry } from './register.ts'

/**
 * Looks up what became of events that were accepted.
 *
 * @param isAnswered whether the sender follows its outcomes: latency is then until they were stored. One who was not
 *   answered in time has no use of a prediction, and its latency stays unknown
 */
export function resolve(
  { phases }: Pick<Drive, 'phases'>,
  { fates: known, latencyMs: seen, tokens, startMs }: Driven,
  outcomes: ReadonlyMap<string, RegisterEntry>,
  isAnswered: boolean,
): { readonly fates: Fates; readonly stored: Stored } {
  const times = intendedTimes(phases)
  const [fates, latencyMs] = [known.slice(), seen.slice()]
  for (const [index, token] of tokens) {
    const outcome = outcomes.get(token)
    if (outcome === undefined) continue
    fates[index] = outcome.kind === 'prediction' ? FATE.prediction : FATE.deadLetter
    if (isAnswered) latencyMs[index] = outcome.storedAt - startMs - (times[index] ?? 0)
  }
  return { fates: { fates, latencyMs }, stored: countOf(outcomes) }
}

function countOf(outcomes: ReadonlyMap<string, RegisterEntry>): Stored {
  const predictions = [...outcomes.values()].filter(({ kind }) => kind === 'prediction').length
  return { predictions, deadLetters: outcomes.size - predictions }
}
