import { spawn } from 'node:child_process'
import { once } from 'node:events'
import type { Lane } from '../../../shared/sdk/contract/subjects.ts'

/** What a process publishes, event by event over the routes in turn. */
export interface FloodLoad {
  readonly url: string
  /** Number of the first event: each number is one event, whoever publishes it. */
  readonly from: number
  readonly count: number
  /** Undefined for as fast as the broker takes them. */
  readonly perSecond?: number
  readonly routes: readonly { readonly pool: string; readonly lane: Lane }[]
}

/** A process with its events encoded, which waits for its word. */
export interface Flood {
  /** Resolves when all are stored: how long it took, milliseconds. */
  publish(): Promise<number>
  stop(): void
}

/** @param entry compiled `publish-process` */
export async function openFlood(entry: string, load: FloodLoad): Promise<Flood> {
  const child = spawn(process.execPath, [entry, JSON.stringify(load)], {
    stdio: ['ignore', 'inherit', 'inherit', 'ipc'],
  })
  const ended = once(child, 'exit').then(([code, by]) => {
    throw new Error(`the publisher ended (${by ?? code})`)
  })
  ended.catch(() => undefined) // told below to whoever waits
  const told = (): Promise<unknown> =>
    Promise.race([once(child, 'message').then(([message]) => message), ended])
  await told()
  return {
    async publish() {
      const stored = told()
      child.send('begin')
      return ((await stored) as { readonly ms: number }).ms
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
