import { readFileSync } from 'node:fs'

/**
 * Version of the package that a module belongs to: that of the nearest `package.json` above it that has one. From source, from
 * `dist/` and in a test's compiled folder that is the repository's; of an installed package, its own. `unknown` where
 * there is none.
 *
 * @param importMetaUrl of the module
 */
export function packageVersion(importMetaUrl: string): string {
  for (let folder = new URL('.', importMetaUrl); ; folder = new URL('..', folder)) {
    const version = readVersion(new URL('package.json', folder))
    if (version !== undefined) return version
    if (folder.href === new URL('..', folder).href) return 'unknown'
  }
}

function readVersion(file: URL): string | undefined {
  try {
    const { version } = JSON.parse(readFileSync(file, 'utf8')) as { readonly version?: unknown }
    return typeof version === 'string' ? version : undefined
  } catch {
    return undefined
  }
}
