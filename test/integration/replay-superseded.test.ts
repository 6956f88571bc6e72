import { describe, expect } from 'vitest'
import type { Claim } from '../../services/gateway/core/keyed-request.ts'
import { SUPERSEDED } from '../../shared/operations/replay/plan.ts'
import { HEADERS, readHeader } from '../../shared/sdk/contract/headers.ts'
import { eventToken } from '../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { waitFor } from '../../shared/sdk/wait-for.ts'
import { readOutcomes } from '../kit/outcomes.ts'
import { SOURCE } from '../kit/pipeline.ts'
import { staged } from '../kit/staged.ts'
import { eventually } from '../kit/wait.ts'
import { runCli } from './cli-process.ts'
import { keyedRequest, MODEL, openKeyedStage } from './keyed-stage.ts'

const LONG_AGO = new Date('2020-01-01')
const FAST = ['--rate', '1000', '--ramp', '0']

const test = staged(openStage)

/** Three dead letters: of a caller that asked again, of one that did not, and of an event without a key. */
async function openStage() {
  const stage = await openKeyedStage({ topology: { ackWaitMs: 3_000 } })
  const gateway = await stage.openGateway()
  await stage.startWorker()
  const [again, once] = [keyedRequest('again'), keyedRequest('once')]
  const fail = async (request: typeof again): Promise<Claim> => {
    const claim = await gateway.claim(request)
    await gateway.stored(request, claim, await stage.send(request, claim, LONG_AGO))
    await waitFor(stage.connection, { model: MODEL, source: SOURCE, id: claim.id })
    return claim
  }
  const old = await fail(again)
  await fail(once)
  await stage.publish({ id: 'plain', headers: { [HEADERS.expiryTime]: LONG_AGO.toISOString() } })
  const taken = await gateway.claim(again)
  await gateway.stored(again, taken, await stage.send(again, taken))
  await waitFor(stage.connection, { model: MODEL, source: SOURCE, id: taken.id })
  await eventually('three dead letters', async () => (await stage.countIn(STREAMS.deadLetters)) === 3)
  const tokenOf = ({ id }: Claim): string => eventToken(MODEL, SOURCE, id)
  return { ...stage, old: tokenOf(old), by: tokenOf(taken) }
}

describe.concurrent('a dead letter that was superseded by its caller', () => {
  test('is left out of a replay, and counted', async ({ stage }) => {
    const { env, connection, old } = stage
    const plan = await runCli(['replay', 'plan', '--json'], { env })
    expect(plan.json()[0], plan.err).toMatchObject({ matching: 3, sent: 2, skipped: { [SUPERSEDED]: 1 } })
    const patched = ['replay', 'plan', '--patch', '[{"op":"test","path":"/features/hour","value":18}]']
    expect((await runCli(patched, { env })).out).toContain(`1  left alone: ${SUPERSEDED}`)
    const { err, json } = await runCli(['replay', 'start', '--all', '--json', ...FAST], { env })
    expect(err).toContain(`1  left alone: ${SUPERSEDED}`)
    expect(json()[0]).toMatchObject({ state: 'done', counts: { predicted: 2, skipped: { [SUPERSEDED]: 1 } } })
    const { deadLetters } = await readOutcomes(connection, { hasReplays: true })
    expect([...deadLetters.keys()]).toEqual([old])
  })

  test('is replayed where that is asked for', async ({ stage }) => {
    const { env, connection, old } = stage
    const { err, json } = await runCli(['replay', 'start', '--all', '--superseded', '--json', ...FAST], {
      env,
    })
    expect(json()[0], err).toMatchObject({
      state: 'done',
      counts: { predicted: 3 },
      options: { superseded: true },
    })
    const { deadLetters, predictions } = await readOutcomes(connection, { hasReplays: true })
    expect(deadLetters.size).toBe(0)
    expect(readHeader(predictions.get(old)?.headers ?? new Map(), HEADERS.outcome)).toBe('prediction')
  })

  test('names the event that took its place', async ({ stage }) => {
    const { env, old, by } = stage
    const shown = await runCli(['dead-letters', 'show', old], { env })
    expect(shown.out, shown.err).toMatch(new RegExp(`superseded by its caller, .*: event ${by}`))
    const { json } = await runCli(['dead-letters', 'show', old, '--json'], { env })
    expect(json()[0]).toMatchObject({ superseded: { by } })
  })
})
