import { execFile } from 'node:child_process'
import { readFile } from 'node:fs/promises'
import { promisify } from 'node:util'

/** Resident memory of another process in bytes; undefined when it has ended or the system does not tell. */
export async function readResidentBytes(pid: number): Promise<number | undefined> {
  try {
    if (process.platform === 'linux') {
      const status = await readFile(`/proc/${pid}/status`, 'utf8')
      return kibibytes(/^VmRSS:\s+(\d+) kB/m.exec(status)?.[1])
    }
    const { stdout } = await promisify(execFile)('ps', ['-o', 'rss=', '-p', String(pid)])
    return kibibytes(stdout.trim())
  } catch {
    return undefined
  }
}

function kibibytes(text: string | undefined): number | undefined {
  const count = Number(text)
  return text === undefined || text === '' || !Number.isFinite(count) ? undefined : count * 1024
}
