import { accessSync, constants } from 'node:fs'
import { delimiter, join } from 'node:path'

export type FoundProgram = { readonly path: string } | { readonly missing: string }

/**
 * A program from a variable, or from PATH.
 *
 * @throws Error where the variable names what cannot be run: whoever set it wants the test
 */
export function findProgram(name: string, variable: string): FoundProgram {
  const named = process.env[variable]
  if (named) {
    if (isExecutable(named)) return { path: named }
    throw new Error(`${variable} = ${named}: there is no program that can be run`)
  }
  const path = (process.env.PATH ?? '')
    .split(delimiter)
    .map((folder) => join(folder, name))
    .find(isExecutable)
  if (path !== undefined) return { path }
  return { missing: `no ${name} on PATH (Debian: package prometheus); ${variable} may name one` }
}

function isExecutable(path: string): boolean {
  try {
    accessSync(path, constants.X_OK)
    return true
  } catch {
    return false
  }
}
