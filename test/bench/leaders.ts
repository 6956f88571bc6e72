// How long a cluster of three takes to elect, and workers to go on, in repeated faults of the node that leads: the median of
// each, with the least and the most. It is the full form of test/faults/cluster-faults.test.ts, on one cluster for each fault.
// npm run bench:leaders -- [--runs=10] [--fault='packets to the leader']
import { spawnSync } from 'node:child_process'
import { parseArgs } from 'node:util'

const { values } = parseArgs({
  options: {
    runs: { type: 'string', default: '10' },
    fault: { type: 'string', default: 'leader' },
  },
})
const runs = Number(values.runs)
if (!Number.isInteger(runs) || runs < 2)
  throw new Error(`--runs=${values.runs}: give a whole number of 2 or more`)
const suite = ['--project', 'faults', '--mode', 'full', 'test/faults/cluster-faults.test.ts']
const { status } = spawnSync('npx', ['vitest', 'run', ...suite, '-t', values.fault], {
  stdio: 'inherit',
  env: { ...process.env, PELTON_FAULTS_RUNS: values.runs },
})
process.exitCode = status ?? 1
