import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it, vi } from 'vitest'
import type { BrokerExit, EmbeddedBroker } from '../../shared/sdk/broker/server.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { keepRunning } from './keep-broker.ts'

const CRASH: BrokerExit = { code: 2, expected: false }

let dataDir: string
let stop: () => void
let notes: string[]
let lost: PeltonError[]

beforeEach(async () => {
  dataDir = await mkdtemp(join(tmpdir(), 'pelton-keep-'))
  notes = []
  lost = []
  // Real files are looked at: only the pauses pass by themselves.
  vi.useFakeTimers({ toFake: ['setTimeout', 'clearTimeout', 'performance'] })
})

afterEach(async () => {
  stop()
  vi.useRealTimers()
  await rm(dataDir, { recursive: true, force: true })
})

/** A broker whose restarts end as told, one after the other; then they succeed. It ends as soon as it is kept. */
function keep(...failures: unknown[]): { readonly restarts: number } {
  const seen = { restarts: 0 }
  let exited: Promise<BrokerExit> = Promise.resolve(CRASH)
  const unused = async (): Promise<void> => undefined
  const broker: EmbeddedBroker = {
    ...{ url: '', port: 0, dataDir, monitorUrl: '', pid: 0, kill: unused, stop: unused },
    get exited() {
      return exited
    },
    restart: async () => {
      const failure = failures[seen.restarts++]
      if (failure !== undefined) throw failure
      exited = new Promise(() => undefined)
    },
  }
  stop = keepRunning(
    broker,
    (text) => notes.push(text),
    (error) => lost.push(error),
  )
  return seen
}

function systemError(code: string): Error {
  return Object.assign(new Error(`${code}: the system says no, write`), { code })
}

/** Lets the pauses pass at once, and what is read from the disk in its own time. */
async function until(isSo: () => boolean): Promise<void> {
  while (!isSo()) {
    await vi.advanceTimersByTimeAsync(500)
    await new Promise((resolve) => setImmediate(resolve))
  }
}

describe('keepRunning', () => {
  it('starts a broker later that found no room when it was started again', async () => {
    const full = new PeltonError('broker-unavailable', 'it did not start', {}, systemError('ENOSPC'))
    const seen = keep(systemError('ENOSPC'), full)
    await until(() => notes.at(-1) === 'the broker writes again')
    expect(seen.restarts).toBe(3)
    expect(notes.filter((text) => text.startsWith('the broker cannot write: ENOSPC'))).toHaveLength(1)
    expect(lost).toEqual([])
  })

  it('says that it is lost when it cannot be started for any other reason', async () => {
    const cause = systemError('EMFILE')
    const seen = keep(cause)
    await until(() => lost.length > 0)
    expect(lost).toHaveLength(1)
    expect(lost[0]).toMatchObject({ code: 'broker-unavailable', cause })
    expect(lost[0]?.message).toContain('EMFILE')
    expect(seen.restarts).toBe(1)
  })

  it('is silent when the broker was stopped meanwhile', async () => {
    const seen = keep(new PeltonError('closed', 'it has been stopped'))
    await until(() => seen.restarts > 0)
    await vi.advanceTimersByTimeAsync(10_000)
    expect([seen.restarts, lost]).toEqual([1, []])
  })
})
