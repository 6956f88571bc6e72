// Hunts for lost and doubled events on a cluster of three: `npm run test:hunt -- --minutes 10 --events 100000 --seed 1`.
import { spawnSync } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { parseArgs } from 'node:util'

const root = fileURLToPath(new URL('../../', import.meta.url))
const usage = 'usage: npm run test:hunt -- [--minutes <number>] [--events <number>] [--seed <number>]\n'

function options() {
  const string = { type: 'string' }
  try {
    return parseArgs({ options: { minutes: string, events: string, seed: string } }).values
  } catch (thrown) {
    process.stderr.write(`hunt: ${thrown.message}\n${usage}`)
    process.exit(2)
  }
}

const { minutes = '10', events = '100000', seed } = options()
for (const [name, value] of Object.entries({ minutes, events, seed: seed ?? '1' })) {
  if (Number(value) > 0) continue
  process.stderr.write(`hunt: --${name} = ${value} is no number above 0\n${usage}`)
  process.exit(2)
}
const env = {
  ...process.env,
  PELTON_HUNT_MINUTES: minutes,
  PELTON_HUNT_EVENTS: events,
  ...(seed !== undefined && { PELTON_FAULTS_SEED: seed }),
}
const args = ['vitest', 'run', '--project', 'faults', 'test/faults/hunt.test.ts']
const { status } = spawnSync('npx', args, { cwd: root, stdio: 'inherit', env })
process.exit(status ?? 1)
