import { constants, setPriority } from 'node:os'
import { setTimeout as sleep } from 'node:timers/promises'
import { connect } from '@nats-io/transport-node'
import { loadFlights } from '../../../services/demo/flights.ts'
import type { EventMessage } from '../../../shared/sdk/event-message.ts'
import { PublishWindow } from '../../../shared/sdk/jetstream/publish-window.ts'
import { quantile } from '../../scale/stage.ts'
import { type FromGenerator, type GeneratorLoad, loadMessage } from './generator.ts'
import { intendedMs, wallClockOffset } from './pacing.ts'

// Sends events at intended times, whatever becomes of those before: an open loop. A process of its own, which does
// nothing else meanwhile, because what holds it up would be taken for the worker's latency.

/** Between being told to begin and the first event. */
const LEAD_MS = 50

/** It stands for those who send, who have machines of their own: before the others on this one, where that is allowed. */
function takePrecedence(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST)
  } catch {
    // not allowed: its lateness is measured, and told
  }
}

async function main({ url, perSecond, warmUp, count }: GeneratorLoad): Promise<void> {
  const flights = await loadFlights({ count: 20_000 })
  const messages = Array.from({ length: warmUp + count }, (_event, index) => loadMessage(flights, index))
  const connection = await connect({ servers: url })
  // A window that fills would hold events back: coordinated omission.
  const window = new PublishWindow(connection, { maxInFlight: Number.POSITIVE_INFINITY, timeoutMs: 60_000 })
  await begun()
  takePrecedence()
  const offset = wallClockOffset()
  const start = performance.now() + LEAD_MS
  const { lateMs, stored } = await sendAll(messages, { start, perSecond, warmUp, window })
  await stored
  const clockMovedMs = wallClockOffset() - offset
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => quantile(lateMs, share)) as [number, number, number]
  window.close()
  await connection.close()
  tell({ kind: 'sent', startMs: start + offset, lateMs: { p50, p99, max }, clockMovedMs })
}

interface Sending {
  /** When the first event is to be sent, by `performance.now()`. */
  readonly start: number
  readonly perSecond: number
  readonly warmUp: number
  readonly window: PublishWindow
}

async function sendAll(
  messages: readonly EventMessage[],
  { start, perSecond, warmUp, window }: Sending,
): Promise<{ readonly lateMs: readonly number[]; readonly stored: Promise<unknown> }> {
  const lateMs: number[] = []
  const pending: Promise<void>[] = []
  for (const [index, message] of messages.entries()) {
    const intended = start + intendedMs(index, perSecond)
    while (performance.now() < intended) await sleep(1)
    if (index === warmUp) tell({ kind: 'measuring' })
    if (index >= warmUp) lateMs.push(performance.now() - intended)
    pending.push(send(window, message))
  }
  return { lateMs, stored: Promise.all(pending) }
}

async function send(window: PublishWindow, message: EventMessage): Promise<void> {
  const reply = await window.publish(message)
  if (reply.kind !== 'stored') throw new Error(`${message.id} was not stored: ${reply.description}`)
}

function begun(): Promise<void> {
  tell({ kind: 'ready' })
  return new Promise((resolve) => process.once('message', () => resolve()))
}

function tell(message: FromGenerator): void {
  process.send?.(message)
}

// Stays when all is sent, so that its processor time can be read, until its parent ends it or itself.
process.once('disconnect', () => process.exit(0))
await main(JSON.parse(process.argv[2] ?? '{}') as GeneratorLoad)
