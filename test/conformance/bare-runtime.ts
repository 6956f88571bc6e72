import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'
import type { Tensor } from '../../shared/sdk/contract/tensor.ts'

export interface BareRequest {
  readonly path: string
  readonly inputs: readonly Tensor[]
}

/** What the ONNX runtime alone does with a model and its inputs. */
export type BareAnswer =
  /** `again` is a second run of the same session on the same inputs. */
  | { readonly kind: 'ran'; readonly outputs: readonly Tensor[]; readonly again: readonly Tensor[] }
  | { readonly kind: 'cannot-load' | 'cannot-run' | 'crashed'; readonly reason: string }

export interface BareRuntime {
  /** Loads the model in a fresh session, runs it twice, frees it. One call at a time. */
  run(request: BareRequest): Promise<BareAnswer>
  close(): Promise<void>
}

/** The runtime in a process of its own, started again when a model crashes it. */
export async function startBareRuntime(): Promise<BareRuntime> {
  let child = await start()
  return {
    async run(request) {
      const answered = once(child, 'message').then(([message]) => message as BareAnswer)
      const ended = once(child, 'exit').then(([code, signal]): BareAnswer => {
        return { kind: 'crashed', reason: `the process ended: ${signal ?? code}` }
      })
      child.send(request)
      const answer = await Promise.race([answered, ended])
      child.removeAllListeners()
      if (answer.kind === 'crashed') child = await start()
      return answer
    },
    async close() {
      const ended = once(child, 'exit')
      child.disconnect()
      await ended
    },
  }
}

async function start(): Promise<ChildProcess> {
  const { url, execArgv } = siblingEntry(import.meta.url, 'bare-process')
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url)], {
    stdio: ['ignore', 'ignore', 'ignore', 'ipc'],
    serialization: 'advanced',
    env: { ...process.env, ORT_DISABLE_TELEMETRY: '1' },
  })
  await once(child, 'message')
  return child
}
