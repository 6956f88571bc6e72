import { messageOf } from '../../../shared/sdk/errors.ts'
import type { Profile } from '../../scale/ground.ts'
import type { Measured } from '../compare/figures.ts'
import { UsageError } from '../compare/options.ts'
import type { Contestant, PeerLoad, Ready } from './contestant.ts'
import { CONTESTANTS } from './contestants.ts'
import { PELTON, warmUpOf } from './on-jetstream.ts'
import type { BenchOptions } from './options.ts'
import type { ScenarioResult } from './result.ts'
import { type Measurable, measureAll } from './rounds.ts'
import type { Workplace } from './workplace.ts'

interface Prepared {
  readonly contestant: Contestant
  readonly ready: Ready
}

/** All contestants on the same events and cores, in turn; a result for each profile. */
export async function measurePeers(workplace: Workplace, options: BenchOptions): Promise<ScenarioResult[]> {
  const { prepared, absent } = await prepareAll(workplace, chosen(CONTESTANTS, options.only))
  const results: ScenarioResult[] = []
  for (const profile of options.profiles) {
    const measurables = prepared.map((each) => measurableOf(each, profile, options, workplace.signal))
    results.push({
      scenario: 'peers',
      title: `Peers, ${TITLES[profile]}`,
      told: { profile, events: options.events, rounds: options.rounds },
      subjects: prepared.map(({ contestant: { name, title, isPeer = false }, ready }) => ({
        ...{ name, title, isPeer, settings: ready.settings },
      })),
      absent,
      runs: await measureAll(workplace, options.rounds, measurables, `${profile} `),
    })
  }
  return results
}

const TITLES: Readonly<Record<Profile, string>> = {
  process: 'one server and one copy of each stream',
  power: 'three servers, three copies of each stream, each write synced',
}

/** @throws UsageError for a name that nobody has */
export function chosen(
  all: readonly Contestant[],
  only: readonly string[] | undefined,
): readonly Contestant[] {
  if (only === undefined) return all
  const names = new Set(only.flatMap((given) => named(all, given)))
  return all.filter(({ name }) => names.has(name))
}

function named(all: readonly Contestant[], given: string): readonly string[] {
  const names = all.map(({ name }) => name)
  const found = names.includes(given) ? [given] : names.filter((name) => name.startsWith(`${given}-`))
  if (found.length > 0) return found
  throw new UsageError(`--only: nobody is called ${given}: ${names.join(', ')}`)
}

async function prepareAll(
  workplace: Workplace,
  contestants: readonly Contestant[],
): Promise<{ readonly prepared: readonly Prepared[]; readonly absent: ScenarioResult['absent'] }> {
  const prepared: Prepared[] = []
  const absent: { name: string; reason: string }[] = []
  for (const contestant of contestants) {
    try {
      prepared.push({ contestant, ready: await contestant.prepare(workplace) })
    } catch (thrown) {
      workplace.signal.throwIfAborted()
      absent.push({ name: contestant.name, reason: messageOf(thrown) })
      workplace.note(`${contestant.name} does not take part: ${messageOf(thrown)}`)
    }
  }
  return { prepared, absent }
}

function measurableOf(
  { contestant, ready }: Prepared,
  profile: Profile,
  { events }: BenchOptions,
  signal: AbortSignal,
): Measurable {
  const own = Math.ceil(events * contestant.share)
  const load = { events: own, warmUp: warmUpOf(own), profile }
  return { name: contestant.name, measure: () => measured(contestant, ready, load, signal) }
}

/** What ends a run of Pelton ends the bench; of anybody else it is their void run. */
async function measured(
  { name }: Contestant,
  ready: Ready,
  load: PeerLoad,
  signal: AbortSignal,
): Promise<Measured> {
  try {
    return await ready.measure(load)
  } catch (thrown) {
    if (name === PELTON.name || signal.aborted) throw thrown
    return { figures: {}, conditions: {}, void: messageOf(thrown).replace(/\s+/g, ' ').slice(0, 400) }
  }
}
