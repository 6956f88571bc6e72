import { readFileSync } from 'node:fs'
import { constants, setPriority } from 'node:os'
import { setTimeout as sleep, setImmediate as turn } from 'node:timers/promises'
import { wallClockOffset } from '../../bench/compare/pacing.ts'
import { quantile } from '../../scale/stage.ts'
import { FATE } from '../measure/account.ts'
import { openBullMqDoor } from './bullmq-door.ts'
import { Answers, type Door, type Features, inTurn } from './door.ts'
import type { DoorSettings, Drive, Driven, FromGenerator, GeneratorSettings } from './generator.ts'
import { HttpDoor } from './http-door.ts'
import { intendedTimes, isHigh, sourceOf } from './schedule.ts'
import { openSdkDoor } from './sdk-door.ts'

// Sends loads at intended times, whatever becomes of what was sent before: an open loop. A process of its own, which does
// nothing else meanwhile, because what holds it up would be taken for the latency of who answers.

/** So many events that are due are sent before answers are read: one that is behind is not deaf too. */
const SENT_IN_A_ROW = 16
/** Between being told to begin and the first event. */
const LEAD_MS = 50

const { door: settings, flights: file } = JSON.parse(process.argv[2] ?? '{}') as GeneratorSettings
const flights = JSON.parse(readFileSync(file, 'utf8')) as readonly Features[]
let deadlineMs = 0

async function openDoor(door: DoorSettings): Promise<Door> {
  if (door.kind === 'sdk') return openSdkDoor({ ...door, deadlineMs: () => deadlineMs })
  if (door.kind === 'bullmq') return openBullMqDoor(door)
  if (door.kind === 'http') return new HttpDoor({ ...door, deadlineMs })
  return inTurn(await Promise.all(door.doors.map(openDoor)))
}

/** It stands for those who send, who have machines of their own: before the others on this one, where that is allowed. */
function takePrecedence(): void {
  try {
    setPriority(constants.priority.PRIORITY_HIGHEST)
  } catch {
    // not allowed: its lateness is measured, and told
  }
}

async function drive(door: Door, { phases, highShare, patienceMs, run }: Drive): Promise<Driven> {
  const times = intendedTimes(phases)
  const offset = wallClockOffset()
  const start = performance.now() + LEAD_MS
  const intendedOf = (index: number): number => start + (times[index] ?? 0)
  const answers = new Answers(times.length, intendedOf)
  const lateMs: number[] = []
  let impatient = 0
  /** Those whose senders wait no longer, in the order they were to be sent. */
  const giveUpUntil = (sent: number): void => {
    for (; impatient < sent && performance.now() > intendedOf(impatient) + patienceMs; impatient++) {
      if (answers.isSettled(impatient)) continue
      const token = door.giveUp(impatient)
      answers.doubted(impatient, 'patience was over', token)
    }
  }
  for (const index of times.keys()) {
    const intended = intendedOf(index)
    while (performance.now() < intended) {
      await sleep(1)
      giveUpUntil(index)
    }
    if (index % SENT_IN_A_ROW === 0) await turn()
    lateMs.push(performance.now() - intended)
    const features = flights[index % flights.length] ?? {}
    const source = sourceOf(phases, index, times[index] ?? 0)
    const sending = {
      index,
      id: `${run}-${index}`,
      features,
      isHigh: isHigh(index, highShare),
      source,
      intended,
    }
    door.send(sending, answers)
  }
  while (answers.settled < times.length) {
    await sleep(5)
    giveUpUntil(times.length)
  }
  const clockMovedMs = wallClockOffset() - offset
  const [p50, p99, max] = [0.5, 0.99, 1].map((share) => quantile(lateMs, share)) as [number, number, number]
  // Copied: nobody writes to them any more.
  const [fates, latencyMs] = [answers.fates.slice(), answers.latencyMs.slice()]
  return {
    ...{ startMs: start + offset, lateMs: { p50, p99, max }, clockMovedMs, fates, latencyMs },
    tokens: new Map([...answers.tokens].filter(([index]) => fates[index] === FATE.accepted)),
    said: answers.said,
  }
}

function tell(message: FromGenerator): void {
  process.send?.(message)
}

let opened: Door | undefined
takePrecedence()
process.on('message', (asked: Drive) => {
  void (async () => {
    deadlineMs = asked.deadlineMs
    opened ??= await openDoor(settings)
    tell({ kind: 'driven', ...(await drive(opened, asked)) })
  })()
})
process.once('disconnect', () => process.exit(0))
tell({ kind: 'ready' })
