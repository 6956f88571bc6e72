import { spawn } from 'node:child_process'
import { connect } from '@nats-io/transport-node'
import { describe, expect, test } from 'vitest'
import { superviseWorkers } from '../../services/cli/workers.ts'
import { areaUnderCurve } from '../../services/demo/auc.ts'
import { runDemo } from '../../services/demo/demo.ts'
import { DEMO_MODELS } from '../../services/demo/models.ts'
import { startBroker } from '../../shared/sdk/broker/server.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { readOutcomes } from '../kit/outcomes.ts'

describe('npm start', () => {
  test.each(['first', 'second'])(
    'the %s run replays 20,000 flights, closes its counts and exits 0',
    async () => {
      const { code, stdout } = await npmStart()
      expect(stdout).toMatch(/20000 in = 19800 predictions \+ 200 dead letters\n/)
      expect(Number(/AUC +([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(0.72)
      expect(stdout).toMatch(/dead letters +schema-mismatch 100, malformed 50, deadline-exceeded 50/)
      expect(stdout).toMatch(/Every event is accounted for: 20,000 events up to sequence 20,000/)
      expect(code).toBe(0)
    },
  )
})

describe('demo', () => {
  test('closes its counts when the worker is killed with SIGKILL in mid-run, again and again', async () => {
    const broker = await startBroker()
    const connection = await connect({ servers: broker.url })
    await provision(connection, { topology: { ackWaitMs: 2_000 } })
    const fleet = superviseWorkers({
      count: 1,
      models: DEMO_MODELS,
      env: { ...process.env, PELTON_NATS_URL: broker.url },
      note: () => {},
    })
    let kills = 0
    const report = await runDemo({
      connection,
      count: 20_000,
      maxUnanswered: 2_000,
      signal: new AbortController().signal,
      onProgress: ({ answered }) => {
        const [pid] = fleet.pids
        if (pid === undefined || answered < (kills + 1) * 5_000 || kills === 3) return
        kills++
        process.kill(pid, 'SIGKILL')
      },
    })
    await fleet.stop()
    const outcomes = await readOutcomes(connection)
    const features = await streamInfo(connection, STREAMS.features)
    await connection.close()
    await broker.stop()

    expect(kills).toBe(3)
    expect(report).toMatchObject({
      sent: 20_000,
      predictions: 19_800,
      deadLetters: 200,
      unanswered: 0,
      doubled: 0,
      unexpected: 0,
      deadLettersStored: 200,
    })
    expect(areaUnderCurve(report.scores, report.late)).toBeGreaterThanOrEqual(0.72)
    expect(outcomes.predictions.size + outcomes.failures.size).toBe(20_000)
    expect(outcomes.waiting).toBe(0)
    // Every sequence the broker gave out ended, and none of them in two ways.
    expect(outcomes.ledger.size).toBe(features?.state.last_seq)
    for (const [sequence, ended] of outcomes.ledger) {
      const terminal = new Set(
        ended.filter((outcome) => outcome === 'predicted' || outcome === 'dead-lettered'),
      )
      expect(terminal.size, `sequence ${sequence}: ${ended.join(', ')}`).toBeLessThanOrEqual(1)
    }
  })
})

function npmStart(): Promise<{ readonly code: number | null; readonly stdout: string }> {
  return new Promise((resolve) => {
    const { PELTON_NATS_URL: _unset, ...env } = process.env
    const child = spawn('npm', ['start', '--silent'], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let stdout = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.once('close', (code) => resolve({ code, stdout }))
  })
}
