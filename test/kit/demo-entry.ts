import { spawn } from 'node:child_process'
import { once } from 'node:events'
import { programArgs } from './program.ts'

export interface EndedEntry {
  readonly code: number
  /** Standard output and error as they came. */
  readonly text: string
}

/** Runs one side of the demo as a process of its own to its end. */
export async function runDemoEntry(
  entry: 'send-flights' | 'count-answers',
  args: readonly string[],
  env: NodeJS.ProcessEnv,
): Promise<EndedEntry> {
  const child = spawn(process.execPath, [...programArgs(`services/demo/${entry}`), ...args], {
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
