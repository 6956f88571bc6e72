import { createRandom } from '../../kit/random.ts'

/** Numbers in [0, 1). */
export type Random = () => number

/** What is drawn at random, each by numbers of its own: another law at the doors leaves the load as it is. */
const DRAWS = ['times', 'lanes', 'sources', 'doors', 'clients', 'flow', 'laws'] as const
export type Draw = (typeof DRAWS)[number]

/** Numbers for everything that is drawn in a run, from its seed. */
export function chanceOf(seed: number): Readonly<Record<Draw, Random>> {
  const seeds = createRandom(seed)
  const drawn = DRAWS.map((draw) => [draw, createRandom(Math.floor(seeds() * 2 ** 32))] as const)
  return Object.fromEntries(drawn) as Record<Draw, Random>
}

/** How long until the next of what comes once a unit of time, at random. */
export function exponential(random: Random): number {
  return -Math.log(1 - random())
}

/** One of some choices, each so likely as its share of the sum of all. */
export function pick<Choice>(
  choices: readonly { readonly share: number; readonly choice: Choice }[],
  random: Random,
): Choice {
  let left = random() * choices.reduce((sum, { share }) => sum + share, 0)
  for (const { share, choice } of choices) {
    left -= share
    if (left < 0) return choice
  }
  const last = choices.at(-1)
  if (last === undefined) throw new Error('there is nothing to pick from')
  return last.choice
}
