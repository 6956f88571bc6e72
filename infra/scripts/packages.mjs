// Assembles the npm packages `pelton` (the SDK) and `pelton-server` (everything else): complete folders, checked, and a
// tarball of each. `npm run packages [-- <folder> [<package>]]`; the paths of the tarballs go to standard output.
// The sources cannot be packed by themselves: their package.json has no version, and npm refuses that.
import { execFileSync } from 'node:child_process'
import { cpSync, mkdirSync, readdirSync, readFileSync, rmSync, statSync, writeFileSync } from 'node:fs'
import { basename, join, relative, resolve, sep } from 'node:path'
import { fileURLToPath } from 'node:url'
import { runCompiler } from './compile.mjs'

const ROOT = fileURLToPath(new URL('../../', import.meta.url))
const { version, dependencies } = readJson(join(ROOT, 'package.json'))
const MODELS = 'services/demo/models'

const PACKAGES = [
  {
    source: join(ROOT, 'shared/sdk'),
    config: 'shared/sdk/tsconfig.build.json',
    files: ['README.md', 'LICENSE'],
    manifest: (described) => described,
    complete: () => {},
  },
  {
    source: join(ROOT, 'infra/npm/pelton-server'),
    config: 'infra/npm/tsconfig.server.json',
    files: ['README.md', 'before-install.mjs'],
    manifest: (described) => ({ ...described, dependencies }),
    complete: (folder) => {
      cpSync(join(ROOT, 'LICENSE'), join(folder, 'LICENSE'))
      cpSync(join(ROOT, MODELS), join(folder, 'dist', MODELS), { recursive: true })
      cpSync(join(ROOT, 'docs'), join(folder, 'docs'), { recursive: true }) // messages and alerts name its pages
    },
  },
]

const [, , into = join(ROOT, 'dist/npm'), only] = process.argv
const target = resolve(into)
mkdirSync(target, { recursive: true })
for (const parts of PACKAGES) {
  const source = readJson(join(parts.source, 'package.json'))
  if (only !== undefined && only !== source.name) continue
  const folder = assemble(parts, source)
  const files = checked(folder)
  const tarball = pack(folder, files)
  process.stderr.write(`${basename(folder)}: ${files.length} files, ${statSync(tarball).size} bytes packed\n`)
  process.stdout.write(`${tarball}\n`)
}

/** Writes a package as users get it. @returns its folder */
function assemble({ source, config, files, manifest, complete }, { '//': _, name, ...described }) {
  const folder = join(target, name)
  rmSync(folder, { recursive: true, force: true })
  compile(config, join(folder, 'dist'))
  for (const file of files) cpSync(join(source, file), join(folder, file))
  complete(folder)
  const complement = manifest(described)
  writeFileSync(
    join(folder, 'package.json'),
    `${JSON.stringify({ name, version, ...complement }, undefined, 2)}\n`,
  )
  return folder
}

/** Checks types, too: a release is not in a hurry. */
function compile(config, outDir) {
  try {
    runCompiler(['-p', config, '--outDir', outDir])
  } catch (thrown) {
    fail(thrown.message)
  }
}

/** @returns the files of a package; ends the program where one is missing, empty or has no business there */
function checked(folder) {
  const files = readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)).split(sep).join('/'))
  const manifest = readJson(join(folder, 'package.json'))
  const named = ['README.md', 'LICENSE', ...pathsIn(manifest.exports), ...pathsIn(manifest.bin)]
  const missing = named.map((path) => path.replace(/^\.\//, '')).filter((path) => !files.includes(path))
  const empty = files.filter((file) => statSync(join(folder, file)).size === 0)
  const strangers = files.filter((file) => /(^|\/)testdata\/|\.test\.|(?<!\.d)\.ts$/.test(file))
  for (const [what, list] of Object.entries({ missing, empty, strangers }))
    if (list.length > 0) fail(`${manifest.name}: ${what}: ${list.join(', ')}`)
  if (!/^\d+\.\d+\.\d+/.test(manifest.version)) fail(`${manifest.name}: version ${manifest.version}`)
  return files
}

/** The paths in `exports` or `bin`, at any depth. */
function pathsIn(value) {
  return typeof value === 'object' ? Object.values(value).flatMap(pathsIn) : [value].filter(Boolean)
}

/** Packs a folder whole: what npm leaves out of it would be missed by users. @returns the path of the tarball */
function pack(folder, files) {
  const args = ['pack', '--json', '--ignore-scripts', '--pack-destination', target]
  const said = execFileSync('npm', args, {
    cwd: folder,
    encoding: 'utf8',
    stdio: ['ignore', 'pipe', 'ignore'],
  })
  const [packed] = Object.values(JSON.parse(said.slice(said.search(/[[{]/))))
  const inside = new Set(packed.files.map(({ path }) => path))
  const left = files.filter((file) => !inside.has(file))
  if (left.length > 0) fail(`${packed.name}: npm leaves out ${left.join(', ')}`)
  return join(target, packed.filename)
}

function readJson(path) {
  return JSON.parse(readFileSync(path, 'utf8'))
}

function fail(message) {
  process.stderr.write(`packages: ${message}\n`)
  process.exit(1)
}
