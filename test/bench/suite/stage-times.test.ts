import { expect, it } from 'vitest'
import { type CpuProfile, stageTimes } from './stage-times.ts'

const node = (id: number, functionName: string, url: string, children: number[] = []) => ({
  id,
  callFrame: { functionName, url },
  children,
})

it('tells whose time it was: the stage that is in, or that called what is in', () => {
  const own = 'file:///pelton/compiled'
  const profile: CpuProfile = {
    nodes: [
      node(1, '(root)', '', [2, 3, 4, 5, 9]),
      node(2, '(idle)', ''),
      node(3, '(garbage collector)', ''),
      node(4, '(program)', ''),
      node(5, 'settle', `${own}/services/worker/settle/settle.js`, [6, 7]),
      node(6, 'put', `${own}/shared/sdk/jetstream/output.js`, [8]),
      node(7, 'stringify', ''),
      node(8, 'writev', ''),
      node(9, 'onread', 'node:internal/stream_base_commons', [10]),
      node(10, 'parse', `${own}/node_modules/@nats-io/nats-core/lib/parser.js`),
    ],
    samples: [2, 3, 4, 5, 6, 7, 8, 9, 10, 10],
    timeDeltas: [100, 1, 2, 3, 4, 5, 6, 7, 8, 9],
  }
  expect(Object.fromEntries(stageTimes(profile))).toEqual({
    ...{ idle: 100, garbage: 1, node: 2 + 7, settle: 3 + 5, connection: 4, socket: 6, client: 8 + 9 },
  })
})
