import { createRequire } from 'node:module'
import { extname } from 'node:path'
import { fileURLToPath, pathToFileURL } from 'node:url'

/** What a thread or a child process of ours is started with. */
export interface SiblingEntry {
  readonly url: URL
  /** Arguments for the node that runs it: for `new Worker(url, { execArgv })`, or before the file for a child process. */
  readonly execArgv: string[]
}

/**
 * The entry file `name` (without extension) beside the module that asks. Compiled modules start compiled entries;
 * modules run from source start the `.ts` entry under tsx, whatever loader their own process was started with.
 */
export function siblingEntry(importMetaUrl: string, name: string): SiblingEntry {
  const extension = extname(fileURLToPath(importMetaUrl))
  const url = new URL(`./${name}${extension}`, importMetaUrl)
  if (extension !== '.ts') return { url, execArgv: [] }
  // By path: a bare name would be looked up from the current directory.
  const tsx = createRequire(importMetaUrl).resolve('tsx')
  return { url, execArgv: ['--import', pathToFileURL(tsx).href] }
}
