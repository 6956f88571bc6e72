// What the way of an event costs on the wire, to be read, answered and acknowledged: by the direct data path, beside a bare
// socket and beside the client, in turn.
// npm run bench:data-path -- [--events=30000] [--rounds=5]
import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { loadFlights } from '../../services/demo/flights.ts'
import { DEMO_MODEL } from '../../services/demo/models.ts'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import { median, numberArgument, openStage, type Stage } from '../scale/stage.ts'
import { CARRIERS, type CarrierName } from './data-path/carriers.ts'

interface Took {
  /** CPU of the loop's process for one event, microseconds. */
  readonly cpuUs: number
  readonly ms: number
}

const events = numberArgument('events', 30_000)
const rounds = numberArgument('rounds', 5)
const flights = await loadFlights({ count: 20_000 })
const names = Object.keys(CARRIERS) as CarrierName[]

async function loop(stage: Stage, carrier: CarrierName): Promise<Took> {
  await stage.publishFlights(flights, events, [DEMO_MODEL])
  const { url, execArgv } = siblingEntry(import.meta.url, 'data-path/loop-process')
  const child = spawn(
    process.execPath,
    [...execArgv, fileURLToPath(url), carrier, stage.url, String(events)],
    { stdio: ['ignore', 'inherit', 'inherit', 'ipc'] },
  )
  const ended = once(child, 'exit')
  const [took] = (await Promise.race([once(child, 'message'), ended])) as [Took | number | null]
  await ended
  if (took === null || typeof took === 'number') throw new Error(`the loop by ${carrier} ended early`)
  return took
}

const stage = await openStage()
try {
  const took = new Map<CarrierName, Took[]>(names.map((name) => [name, []]))
  for (let round = 0; round < rounds; round++)
    for (const name of names) took.get(name)?.push(await loop(stage, name))
  const cpuOf = (name: CarrierName): number => median((took.get(name) ?? []).map(({ cpuUs }) => cpuUs))
  const rateOf = (name: CarrierName): number => median((took.get(name) ?? []).map(({ ms }) => events / ms))
  for (const name of names)
    console.log(
      `${name.padEnd(7)} ${cpuOf(name).toFixed(1).padStart(5)} µs of CPU an event, ` +
        `${(cpuOf(name) / cpuOf('socket')).toFixed(2)} of the bare socket's; ` +
        `${rateOf(name).toFixed(0)} thousand events a second`,
    )
} finally {
  await stage.close()
}
