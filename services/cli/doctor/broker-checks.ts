import type { NatsConnection } from '@nats-io/transport-node'
import { listConsumers } from '../../../shared/operations/broker/consumer-list.ts'
import { type Finding, fail, ok, warn } from '../../../shared/operations/broker/finding.ts'
import {
  type LatestWriter,
  latestWriter,
  livesMs,
  RESULT_MEMORY_BYTES,
  registerNeeds,
  registerState,
  wantedSettings,
} from '../../../shared/operations/broker/register-life.ts'
import { pause } from '../../../shared/runtime/pause.ts'
import { showBytes, showCount, showDuration, showShare } from '../../../shared/runtime/quantities.ts'
import { MINIMUM_SERVER, STREAMS, type TopologyOptions } from '../../../shared/sdk/contract/topology.ts'
import { accountOf, type WireAccount } from '../../../shared/sdk/jetstream/account.ts'
import { requestApi, type StreamInfo, streamInfo } from '../../../shared/sdk/jetstream/api.ts'
import { createBrokerClock } from '../../../shared/sdk/jetstream/broker-clock.ts'

/** The server and the account: version, JetStream, its limits. @param replicas copies of each stream */
export async function checkAccount(
  connection: NatsConnection,
  replicas: number,
): Promise<readonly Finding[]> {
  const { version = 'unknown', max_payload: maxPayload = 0, server_name: server } = connection.info ?? {}
  const findings = [
    ok(
      'broker',
      `nats-server ${version} (Pelton needs ${MINIMUM_SERVER}), ${server}, max_payload ${showBytes(maxPayload)}`,
    ),
  ]
  const answer = await requestApi<WireAccount>(connection, 'INFO')
  return [...findings, ...judgeAccount(answer, replicas)]
}

/** What an account has and may have: of the tier for that many copies where it has tiers. Pure. */
export function judgeAccount(answer: WireAccount, replicas: number): readonly Finding[] {
  const { maxStorage, maxStreams, reservedStorage, storage, tier, hasTier, tiers } = accountOf(
    answer,
    replicas,
  )
  if (!hasTier)
    return [
      fail(
        'account',
        `it allows no streams with ${replicas} copies (${tier})`,
        `Set PELTON_REPLICAS to that of a tier it has: ${tiers.join(', ')}.`,
      ),
    ]
  const stored = `JetStream is on, ${showBytes(storage)}`
  const findings = [
    Number.isFinite(maxStorage)
      ? storageFinding(
          `${stored} of ${showBytes(maxStorage)} stored`,
          Math.max(storage, reservedStorage) / maxStorage,
        )
      : ok('account', `${stored} stored, no limit of the account`),
  ]
  if (maxStreams < 10)
    findings.push(
      warn(
        'account',
        `it allows ${maxStreams} streams, Pelton needs 10`,
        'Raise max_streams of the account.',
      ),
    )
  return findings
}

function storageFinding(text: string, used: number): Finding {
  const told = `${text} (${showShare(used)} used or reserved)`
  return used < 0.8
    ? ok('account', told)
    : warn('account', told, 'Raise max_storage of the account, or lower limits.')
}

const SKEW_WARN_MS = 1_000
/** Beyond this a worker does not get ready. */
const SKEW_FAIL_MS = 5_000

/** This machine's clock against the broker's. */
export async function checkClock(connection: NatsConnection): Promise<readonly Finding[]> {
  const clock = await createBrokerClock(connection, STREAMS.features)
  const { skewMs } = clock
  clock.close()
  const text = `this machine is ${showDuration(Math.abs(skewMs))} ${skewMs < 0 ? 'behind' : 'ahead of'} the broker`
  const remedy = 'Run a time service (chrony, systemd-timesyncd) on both machines.'
  if (Math.abs(skewMs) < SKEW_WARN_MS) return [ok('clock', text)]
  return [Math.abs(skewMs) < SKEW_FAIL_MS ? warn('clock', text, remedy) : fail('clock', text, remedy)]
}

/** What the results kept at most cost in memory, and whether they are kept as long as asked. */
export async function checkResults(
  connection: NatsConnection,
  topology: TopologyOptions,
  asked: { readonly resendMs: number; readonly perSecond: number | undefined; readonly signal: AbortSignal },
): Promise<readonly Finding[]> {
  const info = await streamInfo(connection, STREAMS.results)
  if (info === undefined) return []
  const most = Number(info.config.max_msgs ?? topology.resultsMaxMessages)
  const kept = info.state.messages
  const memory =
    most > 0
      ? `${showBytes(kept * RESULT_MEMORY_BYTES)} of broker memory now, ${showBytes(most * RESULT_MEMORY_BYTES)} when all ${showCount(most)} are kept`
      : `${showBytes(kept * RESULT_MEMORY_BYTES)} of broker memory now, without a bound`
  const findings: Finding[] = [
    most > 0
      ? ok('results', memory)
      : warn(
          'results',
          memory,
          'Set PELTON_RESULTS_MAX_MESSAGES and run `pelton provision` on a new stream.',
        ),
  ]
  const early = droppedEarly(info)
  if (early !== undefined) findings.push(early)
  const perSecond = asked.perSecond ?? (await measureRate(connection, info, asked.signal))
  const queues = [STREAMS.features, STREAMS.retries]
  const consumers = await Promise.all(queues.map((stream) => listConsumers(connection, stream)))
  return [...findings, judgeRegister(info, perSecond, latestWriter(consumers.flat(), asked.resendMs))]
}

const RATE_SAMPLE_MS = 1_500

/** Results a second: of now, or of all that is stored where that is more. */
async function measureRate(
  connection: NatsConnection,
  before: StreamInfo,
  signal: AbortSignal,
): Promise<number> {
  const { messages, oldestMs } = registerState(before)
  await pause(RATE_SAMPLE_MS, signal)
  const now = (await streamInfo(connection, STREAMS.results)) ?? before
  const tookMs = Math.max(1, Date.parse(now.ts) - Date.parse(before.ts))
  const ofNow = ((now.state.last_seq - before.state.last_seq) * 1_000) / tookMs
  return Math.max(0, ofNow, (messages * 1_000) / Math.max(60_000, oldestMs))
}

/** Whether an outcome is remembered for as long as an event of it may still be answered. Pure. */
function judgeRegister(info: StreamInfo, perSecond: number, writer: LatestWriter): Finding {
  const state = registerState(info)
  const needs = registerNeeds(perSecond, writer)
  const { ageMs } = needs
  const lives = livesMs(state, perSecond)
  const rate = `${showCount(perSecond)} results a second`
  const why = `ack_wait ${showDuration(writer.ackWaitMs)}, retry ${showDuration(writer.longestRetryMs)}, resend ${showDuration(writer.resendMs)}`
  const late = `a late writer may take ${showDuration(ageMs)} (${why})`
  const kept = Number.isFinite(lives) ? showDuration(lives) : 'for ever'
  if (lives >= ageMs) return ok('register', `at ${rate} an outcome is remembered ${kept}; ${late}`)
  const wanted = wantedSettings(state, needs).map(
    ({ setting, value, memoryBytes }) =>
      `${setting} to ${value}${memoryBytes === undefined ? '' : ` (${showBytes(memoryBytes)} of broker memory)`}`,
  )
  return warn(
    'register',
    `at ${rate} an outcome is remembered ${kept}, and ${late}: an event that comes again is predicted again`,
    `Set ${wanted.join(' and ')} or more, and run \`pelton provision\`; \`pelton doctor --rate <n>\` works it out for another rate.`,
  )
}

/** Results that went because there are too many of them are a shorter promise of one outcome per event than was asked for. */
function droppedEarly(info: StreamInfo): Finding | undefined {
  const { isFull, isFullOfBytes, oldestMs, maxAgeMs } = registerState(info)
  if (!isFull || oldestMs >= maxAgeMs || !Number.isFinite(maxAgeMs)) return undefined
  const limit = isFullOfBytes ? 'their bytes are' : 'the number of results is'
  const setting = isFullOfBytes ? 'PELTON_RESULTS_MAX_BYTES' : 'PELTON_RESULTS_MAX_MESSAGES'
  const cost = isFullOfBytes ? '' : ' (and the memory of the broker)'
  return warn(
    'results',
    `the oldest result is ${showDuration(oldestMs)} old, and ${showDuration(maxAgeMs)} were asked for: ${limit} the limit`,
    `Raise ${setting}${cost}, or accept the shorter retention.`,
  )
}
