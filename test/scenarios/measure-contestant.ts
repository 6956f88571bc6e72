import type { Contestant } from './contestants/contestant.ts'
import { driveRun, type Run, warmUp } from './drive.ts'
import { type Capacity, type Chosen, type Note, withOpened } from './find-capacity.ts'
import { type LoadFacts, loadsOf } from './loads.ts'

/** A contestant as it was measured. */
export interface Measured {
  readonly name: string
  readonly title: string
  readonly isPeer: boolean
  readonly promises: Contestant['promises']
  readonly capacity: Capacity
  readonly tried: Chosen['tried']
  readonly runs: readonly Run[]
}

/** What is carried, and every load beyond it: everything started anew for each. */
export async function measureChosen(
  { contestant, candidate, capacity, tried, own }: Chosen,
  facts: Omit<LoadFacts, 'capacity' | 'promises' | 'isPelton'>,
  note: Note,
): Promise<Measured> {
  const { perSecond } = capacity
  const { name, title, isPeer, promises } = contestant
  const runs = [own]
  for (const wish of loadsOf({ ...facts, capacity: perSecond, promises, isPelton: !isPeer })) {
    const run = await withOpened(
      candidate,
      async (opened) => {
        await warmUp(opened, perSecond / 2, facts.timing.warmUpSeconds)
        return driveRun(opened, wish)
      },
      { carries: perSecond, ...wish },
    )
    const [reached, offered] = [run.goodputPerSecond.toFixed(0), run.offeredPerSecond.toFixed(0)]
    note(`${name}, ${run.name}: ${reached} of ${offered} a second in time`)
    runs.push(run)
  }
  return { name, title, isPeer, promises, capacity, tried, runs }
}
