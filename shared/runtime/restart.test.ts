import { expect, it } from 'vitest'
import { decideRestart, type ProcessEnd } from './restart.ts'

const READY: ProcessEnd = { signal: null, livedMs: 1_000, wasReady: true, saidSo: false }
const KILLED: ProcessEnd = { ...READY, signal: 'SIGKILL' }

it.each([
  // what happened, crashes before, end, expected: from outside, crashes, delay
  ['an exit of its own', 0, READY, false, 1, 200],
  ['the third in a row', 2, READY, false, 3, 800],
  ['the tenth in a row', 9, READY, false, 10, 10_000],
  ['an exit after a healthy life', 9, { ...READY, livedMs: 30_001 }, false, 1, 200],
  ['a crash of native code', 1, { ...READY, signal: 'SIGSEGV' }, false, 2, 400],
  ['an abort', 1, { ...READY, signal: 'SIGABRT' }, false, 2, 400],
  ['a kill from outside', 0, KILLED, true, 0, 200],
  ['the tenth kill from outside', 0, KILLED, true, 0, 200],
  ['a kill from outside between crashes', 3, KILLED, true, 3, 200],
  ['a stop by a platform', 1, { ...KILLED, signal: 'SIGTERM' }, true, 1, 200],
  ['its own kill, by the watchdog', 1, { ...KILLED, saidSo: true }, false, 2, 400],
  ['a kill while it loads, out of memory say', 1, { ...KILLED, wasReady: false }, false, 2, 400],
] as const)('after %s', (_what, crashes, end, fromOutside, now, delayMs) => {
  expect(decideRestart(crashes, end)).toEqual({ fromOutside, crashes: now, delayMs })
})
