import { describe, expect, it } from 'vitest'
import type { Flow } from '../contract/flow.ts'
import { HeardFlow } from './heard-flow.ts'

const NONE = { high: 0, normal: 0, low: 0 }

function flow(changes: Partial<Flow>): Flow {
  return {
    ...{
      by: 'worker',
      name: 'w',
      at: 0,
      everyMs: 100,
      drainRows: 100,
      rowsPerEvent: 2,
      heavy: [],
      gates: [],
    },
    ...{ waiting: NONE, held: NONE, deadlineMs: NONE, maxBacklogSeconds: NONE, mode: 'enforce' },
    ...changes,
  }
}

const GATE = { limit: 'FEATURES.max_msgs', lanes: ['low'], value: 60, measured: 61, retryAfterMs: 0 } as const
const CONTROL = flow({
  ...{ by: 'control', name: 'c', everyMs: 2_000, drainRows: 0, rowsPerEvent: 1, gates: [GATE] },
  ...{ waiting: { ...NONE, normal: 900 }, mode: 'observe' },
})

describe('HeardFlow', () => {
  it('goes by what a worker says waits, also where control was heard after it, and keeps the gates of both', () => {
    const heard = new HeardFlow()
    heard.hear(flow({ waiting: { ...NONE, normal: 10 }, held: { ...NONE, high: 3 } }), 1_000)
    heard.hear(CONTROL, 1_050)
    expect(heard.at(1_060)).toMatchObject({
      ...{ atMs: 1_000, drainRows: 100, rowsPerEvent: 2, mode: 'enforce', gates: [GATE] },
      aheadRows: { high: 3, normal: 23, low: 23 },
    })
  })

  it('goes by control where no worker was heard lately', () => {
    const heard = new HeardFlow()
    heard.hear(flow({ waiting: { ...NONE, normal: 10 } }), 1_000)
    heard.hear(CONTROL, 1_050)
    expect(heard.at(3_000)).toMatchObject({
      ...{ drainRows: 0, mode: 'observe', gates: [GATE] },
      aheadRows: { high: 0, normal: 900, low: 900 },
    })
  })
})
