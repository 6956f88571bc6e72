import { createRequire } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** What a child process of ours is started with: `spawn(process.execPath, [...execArgv, fileURLToPath(url)])`. */
export interface SiblingEntry {
  readonly url: URL
  readonly execArgv: string[]
}

/**
 * The entry file `name` (without extension) beside the module that asks, for a child process. Compiled modules start
 * compiled entries; modules run from source start the `.ts` entry under tsx, whatever loader runs the parent.
 */
export function siblingEntry(importMetaUrl: string, name: string): SiblingEntry {
  const url = besideOf(importMetaUrl, name)
  return { url, execArgv: isSource(url) ? ['--import', locateTsx(importMetaUrl)] : [] }
}

/**
 * The same for a thread: `new Worker(url, { execArgv })`. On Node 20, `--import tsx` does not reach a thread, so from
 * source the thread starts with a line that registers tsx and then imports the entry.
 */
export function siblingThreadEntry(importMetaUrl: string, name: string): SiblingEntry {
  const url = besideOf(importMetaUrl, name)
  if (!isSource(url)) return { url, execArgv: [] }
  const entry = JSON.stringify(url.href)
  const register = `(await import('node:module')).register('tsx/esm', ${entry}, { data: true })`
  const line = `${register}; await import(${entry})`
  return { url: new URL(`data:text/javascript,${encodeURIComponent(line)}`), execArgv: [] }
}

function besideOf(importMetaUrl: string, name: string): URL {
  return new URL(`./${name}${extname(fileURLToPath(importMetaUrl))}`, importMetaUrl)
}

function isSource(url: URL): boolean {
  return url.pathname.endsWith('.ts')
}

/** By path: a bare name would be looked up from the current directory of the child. */
function locateTsx(importMetaUrl: string): string {
  return pathToFileURL(createRequire(importMetaUrl).resolve('tsx')).href
}
