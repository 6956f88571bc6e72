import { execFile } from 'node:child_process'
import { promisify } from 'node:util'
import { eventHeapFlags } from '../../shared/runtime/heap-flags.ts'

const CHURN = new URL('./churn-process.ts', import.meta.url).pathname

export interface Collections {
  /** Of the whole heap. */
  readonly whole: number
  /** Of its young part. */
  readonly young: number
}

/** How often a heap was collected while half a GB of events went through a part of a worker or a gateway: see churn-process.ts. */
export async function collectionsOf(part: string): Promise<Collections> {
  const args = [...eventHeapFlags({}), '--import', 'tsx', CHURN, part]
  const { stdout } = await promisify(execFile)(process.execPath, args)
  return JSON.parse(stdout) as Collections
}
