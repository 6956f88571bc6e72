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
  /** What the demo sends that is bad on purpose, of as many flights. */
  const runs: readonly [string, number, string[], number[]][] = [
    ['first', 20_000, [], [100, 50, 50]],
    ['second', 4_000, ['--', '--flights', '4000'], [20, 10, 10]],
  ]
  test.each(runs)(
    'the %s run replays %i flights, closes its counts and exits 0',
    async (_run, flights, args, [mismatch, malformed, late]) => {
      const { code, stdout } = await npmStart(args)
      expect(stdout).toContain(
        `${flights} in = ${flights * 0.99} predictions + ${flights / 100} dead letters\n`,
      )
      expect(Number(/AUC +([\d.]+)/.exec(stdout)?.[1])).toBeGreaterThanOrEqual(0.72)
      const reasons = `schema-mismatch ${mismatch}, malformed ${malformed}, deadline-exceeded ${late}`
      expect(stdout.replaceAll(/ +/g, ' ')).toContain(`dead letters ${reasons}`)
      const count = flights.toLocaleString('en')
      expect(stdout).toContain(`Every event is accounted for: ${count} events up to sequence ${count}`)
      expect(code).toBe(0)
    },
  )
})

describe('demo', () => {
  const COUNT = 8_000

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
      count: COUNT,
      maxUnanswered: 2_000,
      signal: new AbortController().signal,
      onProgress: ({ answered }) => {
        const [pid] = fleet.pids
        if (pid === undefined || answered < (kills + 1) * (COUNT / 4) || kills === 3) return
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
      sent: COUNT,
      predictions: COUNT * 0.99,
      deadLetters: COUNT / 100,
      unanswered: 0,
      doubled: 0,
      unexpected: 0,
      deadLettersStored: COUNT / 100,
    })
    expect(areaUnderCurve(report.scores, report.late)).toBeGreaterThanOrEqual(0.72)
    expect(outcomes.predictions.size + outcomes.failures.size).toBe(COUNT)
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

function npmStart(
  args: readonly string[],
): Promise<{ readonly code: number | null; readonly stdout: string }> {
  return new Promise((resolve) => {
    const { PELTON_NATS_URL: _unset, ...env } = process.env
    const child = spawn('npm', ['start', '--silent', ...args], { env, stdio: ['ignore', 'pipe', 'inherit'] })
    let stdout = ''
    child.stdout.on('data', (chunk: Buffer) => {
      stdout += chunk.toString()
    })
    child.once('close', (code) => resolve({ code, stdout }))
  })
}
