import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { fileURLToPath } from 'node:url'
import { siblingEntry } from '../../shared/runtime/source-entry.ts'

export interface EndedEntry {
  readonly code: number
  /** Standard output and error as they came. */
  readonly text: string
}

/** Runs one side of the demo as a process of its own to its end. @param entry `send-flights` or `count-answers` */
export async function runDemoEntry(
  entry: string,
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<EndedEntry> {
  const { url, execArgv } = siblingEntry(import.meta.url, `../../services/demo/${entry}`)
  const child = spawn(process.execPath, [...execArgv, fileURLToPath(url), ...args], {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  })
  let text = ''
  for (const stream of [child.stdout, child.stderr])
    stream.on('data', (chunk) => {
      text += chunk
    })
  const [code] = await once(child, 'close')
  return { code: Number(code), text }
}
