// Compiles a clone into dist/ when its sources are not those of the last time. Plain JavaScript with nothing but Node.
// `npm run pelton` and `npm start` begin with it, and the tests compile as it does. `npm run build` checks types as well.
import { spawnSync } from 'node:child_process'
import { createHash } from 'node:crypto'
import * as fs from 'node:fs'
import { join } from 'node:path'
import { fileURLToPath } from 'node:url'

const root = fileURLToPath(new URL('../../', import.meta.url))
const OUTPUT = join(root, 'dist')
/** Says which sources the output was made of. Written last, removed first. */
const STAMP = join(OUTPUT, '.sources')
/** Beside the output, at the same depth: source maps name their sources from there. */
const WORKPLACE = /^\.dist-\d+$/
const LOCK = join(root, '.dist.lock')

const SOURCES = ['services', 'shared']
const SETTINGS = ['tsconfig.json', 'tsconfig.build.json', 'infra/scripts/compile.mjs']
/** Folders that the compiled code looks for beside itself. */
const DATA = ['services/demo/models']

/** A lock this old is nobody's, whatever process has its number now, milliseconds. */
const LOCK_MS = 300_000
const LOOK_MS = 50

/**
 * Folder of the compiled sources as they are now. Costs a few milliseconds where nothing changed. Two at once compile once;
 * the output is never without a file it had and still has.
 *
 * @param note told when it compiles
 * @throws Error with what the compiler said; the output is that of before, and must not be run
 */
export function compile(note) {
  if (isFresh(fingerprint())) return OUTPUT
  takeLock()
  try {
    const now = fingerprint() // before the compiler reads: what changes meanwhile is compiled the next time
    if (!isFresh(now)) compileAll(now, note)
  } finally {
    fs.rmSync(LOCK, { force: true })
  }
  return OUTPUT
}

function isFresh(now) {
  try {
    return fs.readFileSync(STAMP, 'utf8') === now
  } catch {
    return false
  }
}

/** Path, size and time of every file that is compiled, or says how. */
function fingerprint() {
  const hash = createHash('sha256')
  for (const file of SETTINGS) add(hash, file)
  for (const folder of SOURCES) addFolder(hash, folder)
  return hash.digest('hex')
}

function addFolder(hash, folder) {
  for (const entry of fs.readdirSync(join(root, folder), { withFileTypes: true })) {
    const path = `${folder}/${entry.name}`
    if (entry.isDirectory()) {
      if (!/^(?:node_modules|dist)$/.test(entry.name)) addFolder(hash, path)
    } else if (!/\.(?:test\.ts|md)$/.test(entry.name)) add(hash, path)
  }
}

function add(hash, file) {
  const { size, mtimeMs } = fs.statSync(join(root, file))
  hash.update(`${file} ${size} ${mtimeMs}\n`)
}

function compileAll(now, note) {
  note('compiling Pelton, because its sources changed …')
  for (const name of fs.readdirSync(root)) if (WORKPLACE.test(name)) remove(join(root, name))
  const workplace = join(root, `.dist-${process.pid}`)
  try {
    compileTo(workplace)
    fs.rmSync(STAMP, { force: true })
    for (const folder of SOURCES) bringOver(join(workplace, folder), join(OUTPUT, folder))
    fs.writeFileSync(STAMP, now)
  } finally {
    remove(workplace)
  }
}

/**
 * Compiles into a folder that is not there yet, with all that the compiled code looks for. Types are not checked: that is what
 * `npm run check` is for, and it takes four times as long.
 *
 * @param project which sources: a tsconfig whose `rootDir` is the root of the repository
 * @throws Error with what the compiler said
 */
export function compileTo(folder, project = 'tsconfig.build.json') {
  runCompiler(['-p', project, '--outDir', folder, '--noCheck', '--declaration', 'false'])
  for (const part of DATA)
    fs.cpSync(join(root, part), join(folder, part), { recursive: true, preserveTimestamps: true })
}

/** @throws Error with what the compiler said */
export function runCompiler(options) {
  const tsc = join(root, 'node_modules/typescript/bin/tsc')
  const { status, stdout, stderr, error } = spawnSync(process.execPath, [tsc, ...options], {
    cwd: root,
    encoding: 'utf8',
  })
  if (status !== 0) throw new Error(`${stdout ?? ''}${stderr ?? ''}${error?.message ?? ''}`.trim())
}

/** Makes `to` what `from` is, file by file: one that runs from it finds each file, of before or of now. */
function bringOver(from, to) {
  fs.mkdirSync(to, { recursive: true })
  const names = new Set()
  for (const entry of fs.readdirSync(from, { withFileTypes: true })) {
    names.add(entry.name)
    const target = join(to, entry.name)
    if (entry.isDirectory()) bringOver(join(from, entry.name), target)
    else if (!hasContent(target, fs.readFileSync(join(from, entry.name))))
      fs.renameSync(join(from, entry.name), target)
  }
  for (const name of fs.readdirSync(to)) if (!names.has(name)) remove(join(to, name))
}

function hasContent(file, content) {
  try {
    return fs.readFileSync(file).equals(content)
  } catch {
    return false
  }
}

/** Waits while another process compiles. One that was ended has left its lock behind. */
function takeLock() {
  const pause = new Int32Array(new SharedArrayBuffer(4))
  for (;;) {
    try {
      fs.writeFileSync(LOCK, String(process.pid), { flag: 'wx' })
      return
    } catch (thrown) {
      if (thrown.code !== 'EEXIST') throw thrown
    }
    if (isLeft(LOCK)) fs.rmSync(LOCK, { force: true })
    else Atomics.wait(pause, 0, 0, LOOK_MS)
  }
}

function isLeft(lock) {
  try {
    if (Date.now() - fs.statSync(lock).mtimeMs > LOCK_MS) return true
    const pid = Number(fs.readFileSync(lock, 'utf8'))
    if (pid > 0) process.kill(pid, 0)
    return false
  } catch (thrown) {
    return thrown.code === 'ESRCH'
  }
}

function remove(path) {
  fs.rmSync(path, { recursive: true, force: true })
}
