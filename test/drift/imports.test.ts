import { readFile } from 'node:fs/promises'
import { dirname, join } from 'node:path/posix'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'
import { sources } from './sources.ts'

interface Folder {
  readonly path: string
  /** Folders, which end with `/`, and files. */
  readonly mayImport: readonly string[]
}

/** The table of `docs/architecture.md`. */
async function readFolders(): Promise<readonly Folder[]> {
  const page = await readFile(`${ROOT}docs/architecture.md`, 'utf8')
  const [, section = ''] = page.split('## Where things are')
  return [...section.matchAll(/^\| `((?:shared|services)\/[^`]*\/)` \|[^|]*\| (.*) \|$/gm)].map(
    ([, path = '', allowed = '']) => {
      const named = [...allowed.matchAll(/`([^`]+)`/g)].map(([, each = '']) => each)
      return { path, mayImport: allowed.startsWith('the folders below') ? [path, ...named] : named }
    },
  )
}

/** Files of ours that a file imports, types and late imports included. */
async function importsOf(file: string): Promise<readonly string[]> {
  const code = await readFile(`${ROOT}${file}`, 'utf8')
  return [...code.matchAll(/(?:\bfrom |\bimport\(|^import )'(\.[^']+)'/gm)].map(([, target = '']) =>
    join(dirname(file), target),
  )
}

/** Rooms whose folders, and the files beside them, have an order: none of them imports what imports it, however far around. */
const ROOMS: readonly string[] = [
  'services/cli/',
  'services/control/',
  'services/demo/',
  'services/gateway/',
  'services/worker/',
  'shared/operations/',
]

/** What a file of a room counts as: the folder of the room it lies in, or itself where it lies beside the folders. */
function partOf(room: string, file: string): string {
  const [first = '', ...rest] = file.slice(room.length).split('/')
  return rest.length > 0 ? `${first}/` : first
}

/** The first way found from a part back to itself, `a > b > a`; undefined where there is none. */
function circleIn(graph: ReadonlyMap<string, ReadonlySet<string>>): string | undefined {
  const done = new Set<string>()
  const visit = (part: string, way: readonly string[]): string | undefined => {
    if (way.includes(part)) return [...way.slice(way.indexOf(part)), part].join(' > ')
    if (done.has(part)) return undefined
    for (const next of graph.get(part) ?? []) {
      const found = visit(next, [...way, part])
      if (found !== undefined) return found
    }
    done.add(part)
    return undefined
  }
  for (const part of graph.keys()) {
    const found = visit(part, [])
    if (found !== undefined) return found
  }
  return undefined
}

test('a circle of parts is found', () => {
  const graph = new Map([
    ['a', new Set(['b'])],
    ['b', new Set(['c/'])],
    ['c/', new Set(['b'])],
  ])
  expect(circleIn(graph)).toBe('b > c/ > b')
  expect(circleIn(new Map([['a', new Set(['b'])]]))).toBeUndefined()
})

test.each(ROOMS)('the folders of %s import each other in no circle', async (room) => {
  const graph = new Map<string, Set<string>>()
  const files = (await sources()).filter((file) => file.startsWith(room))
  expect(files.length).toBeGreaterThan(0)
  for (const file of files) {
    const part = partOf(room, file)
    const targets = (await importsOf(file)).filter((target) => target.startsWith(room))
    const others = targets.map((target) => partOf(room, target)).filter((target) => target !== part)
    graph.set(part, new Set([...(graph.get(part) ?? []), ...others]))
  }
  expect(circleIn(graph)).toBeUndefined()
})

/**
 * Everything a program loads from its first file on: files of ours, and names of packages.
 *
 * @param isLate whether what is imported only when it is needed counts
 */
async function loadedBy(entry: string, isLate = true): Promise<ReadonlySet<string>> {
  const loaded = new Set([entry])
  for (const file of loaded) {
    if (!file.endsWith('.ts')) continue
    const code = await readFile(`${ROOT}${file}`, 'utf8')
    const imports = /^(?:import|export) (?!type\b)(?:[^'";]*? from )?'([^']+)'|\bimport\('([^']+)'\)/gm
    for (const [, early, late] of code.matchAll(imports)) {
      const target = early ?? (isLate ? late : undefined)
      if (target !== undefined) loaded.add(target.startsWith('.') ? join(dirname(file), target) : target)
    }
  }
  return loaded
}

test.each(['services/control/main.ts', 'services/worker/main.ts'])(
  '%s loads nothing that is for a terminal',
  async (service) => {
    const forTerminals = (each: string): boolean =>
      each === 'commander' || each === 'log-update' || each.startsWith('services/cli/')
    expect([...(await loadedBy('services/cli/main.ts'))].filter(forTerminals)).not.toHaveLength(0)
    const loaded = [...(await loadedBy(service))]
    expect(loaded).toContain('pino')
    expect(loaded.filter(forTerminals)).toEqual([])
  },
)

test('the command line loads what a command needs with that command, and nothing of it before', async () => {
  const loaded = [...(await loadedBy('services/cli/main.ts', false))]
  expect(loaded.filter((each) => !each.endsWith('.ts') && !each.startsWith('node:'))).toEqual(['commander'])
  expect(loaded.filter((each) => each.startsWith('services/cli/commands/'))).toEqual([])
})

test('a process that looks at models loads what tries them with the first that was never inspected, and not before', async () => {
  const entry = 'shared/models/inspect-process.ts'
  const late = ['shared/models/inspect-model.ts', 'shared/models/session.ts', 'zod', 'yaml']
  expect([...(await loadedBy(entry))]).toEqual(expect.arrayContaining(late))
  expect([...(await loadedBy(entry, false))].filter((each) => late.includes(each))).toEqual([])
})

test('no folder imports what docs/architecture.md does not let it import, and each is in its table', async () => {
  const folders = await readFolders()
  expect(folders.length).toBeGreaterThan(8)
  const folderOf = (file: string): Folder | undefined =>
    folders.filter(({ path }) => file.startsWith(path)).sort((a, b) => b.path.length - a.path.length)[0]
  const problems: string[] = []
  const used = new Set<string>()
  for (const file of await sources()) {
    const folder = folderOf(file)
    if (folder === undefined) {
      problems.push(`${file} is in no folder of the table`)
      continue
    }
    for (const target of await importsOf(file)) {
      if (folderOf(target) === folder) continue
      const allowed = folder.mayImport.find((each) =>
        each.endsWith('/') ? target.startsWith(each) : target === each,
      )
      if (allowed === undefined) problems.push(`${file} imports ${target}`)
      else used.add(`${folder.path} ${allowed}`)
    }
  }
  expect(problems).toEqual([])
  const unused = folders.flatMap(({ path, mayImport }) => mayImport.map((each) => `${path} ${each}`))
  expect(unused.filter((each) => !used.has(each))).toEqual([])
})
