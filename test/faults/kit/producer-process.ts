import { type ChildProcess, fork } from 'node:child_process'
import { fileURLToPath } from 'node:url'
import { siblingEntry } from '../../../shared/runtime/source-entry.ts'
import type { Receipt } from '../../../shared/sdk/producer.ts'
import type { ProducerWord } from './producer-entry.ts'
import type { StagedEvent } from './stage-events.ts'

export interface ProducerProcessOptions {
  readonly url: string
  readonly source: string
  /** Folder of its outbox; without one it is a plain producer. */
  readonly path?: string
}

/** A producer in a process of its own that can be killed at any time: what it had not confirmed is given to the next. */
export interface ProducerProcess {
  /** Resolves once a process confirmed the event: as stored, or with an outbox as on disk. */
  publish(event: StagedEvent): Promise<Receipt>
  /**
   * Ends the process with SIGKILL the next time it confirms an event while others wait for its word, and starts the
   * next. Resolves with how many events it had not confirmed.
   */
  kill(): Promise<number>
  /** Waits until all is stored, and ends the process. */
  close(): Promise<void>
  /** Ends the process whatever it does. */
  stop(): void
}

interface Unconfirmed {
  readonly event: StagedEvent
  readonly resolve: (receipt: Receipt) => void
  readonly reject: (thrown: Error) => void
}

/** Starts a {@link ProducerProcess}. */
export function startProducerProcess(options: ProducerProcessOptions): ProducerProcess {
  const unconfirmed = new Map<string, Unconfirmed>()
  const { url, execArgv } = siblingEntry(import.meta.url, './producer-entry')
  let isToEnd = false
  let child = start()

  function start(): ChildProcess {
    const args = [options.url, options.source, options.path ?? '']
    const started = fork(fileURLToPath(url), args, { execArgv, serialization: 'advanced' })
    started.on('message', ({ id, receipt, failure }: ProducerWord) => {
      const waiting = unconfirmed.get(id)
      unconfirmed.delete(id)
      if (receipt === undefined) waiting?.reject(new Error(`${id}: ${failure}`))
      else waiting?.resolve(receipt)
      if (isToEnd && unconfirmed.size > 0) started.kill('SIGKILL') // at once: its next words are on their way
    })
    return started
  }
  const exited = (): Promise<unknown> =>
    new Promise((resolve) => {
      if (child.exitCode !== null || child.signalCode !== null) resolve(child.exitCode)
      else child.once('exit', resolve)
    })

  return {
    publish(event) {
      const confirmed = new Promise<Receipt>((resolve, reject) => {
        unconfirmed.set(event.id, { event, resolve, reject })
      })
      if (child.connected) child.send(event)
      return confirmed
    },
    async kill() {
      isToEnd = true
      await exited()
      isToEnd = false
      child = start()
      for (const { event } of unconfirmed.values()) child.send(event)
      return unconfirmed.size
    },
    async close() {
      child.send('close')
      const code = await exited()
      if (code !== 0) throw new Error(`the producer process ended with ${code}`)
    },
    stop: () => void child.kill('SIGKILL'),
  }
}
