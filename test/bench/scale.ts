// How far one cluster goes: what one leader takes and hands out, what pools and lanes cost, what more workers add
// (docs/scale.md).
// npm run bench:scale -- [--part=leader|pools|workers|assets] [--rounds=3] [--events=20000] [--rate=400]
//   [--ground='R3 synced']
import { parseArgs } from 'node:util'
import { readMachine } from './compare/machine.ts'
import { machineLines } from './compare/report.ts'
import { measureAssets } from './scale/assets.ts'
import { type Line, tableOf } from './scale/figures.ts'
import { measureLeader, measureWorkers } from './scale/leader.ts'
import { measurePools } from './scale/pools.ts'
import { openWorkplace } from './suite/workplace.ts'

const PARTS = ['leader', 'pools', 'workers', 'assets'] as const

const { values } = parseArgs({
  options: {
    part: { type: 'string' },
    rounds: { type: 'string', default: '3' },
    events: { type: 'string', default: '20000' },
    rate: { type: 'string', default: '400' },
    ground: { type: 'string' },
  },
})

function whole(name: 'rounds' | 'events' | 'rate'): number {
  const value = Number(values[name])
  if (Number.isSafeInteger(value) && value > 0) return value
  throw new Error(`--${name}=${values[name]}: give a whole number above 0`)
}

const parts = PARTS.filter((part) => values.part === undefined || values.part === part)
if (parts.length === 0) throw new Error(`--part=${values.part}: one of ${PARTS.join(', ')}`)
const [rounds, events, perSecond] = [whole('rounds'), whole('events'), whole('rate')]
const stop = new AbortController()
for (const name of ['SIGINT', 'SIGTERM'] as const) process.once(name, () => stop.abort(name))
const note = (text: string): void => void process.stderr.write(`${text}\n`)
const workplace = await openWorkplace({ note, signal: stop.signal })
const MEASURES: Readonly<Record<(typeof PARTS)[number], () => Promise<readonly Line[]>>> = {
  leader: () => measureLeader(workplace, { rounds, events }, values.ground),
  workers: () => measureWorkers(workplace, { rounds, events }),
  pools: () => measurePools(workplace, { rounds, perSecond }),
  assets: () => measureAssets(workplace),
}
try {
  for (const line of machineLines(await readMachine(undefined))) note(line)
  for (const part of parts) {
    const lines = await MEASURES[part]()
    console.log(['', ...tableOf(part, lines)].join('\n'))
  }
} finally {
  await workplace.close()
}
