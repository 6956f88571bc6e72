import { mkdir, readdir, stat } from 'node:fs/promises'
import { join } from 'node:path'
import type { ClassicLevel } from 'classic-level'
import { messageOf, PeltonError, showValue } from '../errors.ts'

/** The LevelDB of an outbox. */
export type Level = ClassicLevel<string, Uint8Array>

const LEVELDB_FILE = /^(?:CURRENT|LOCK|LOG|LOG\.old|MANIFEST-\d+|\d+\.(?:log|ldb|sst|dbtmp))$/
/** Files that hold entries: without `CURRENT` beside them, LevelDB would begin anew and remove them. */
const LEVELDB_CONTENT = /\.(?:log|ldb|sst)$/

/**
 * Folders that this process has open, by device and inode. LevelDB's own check within a process comes too late: it
 * opens and closes the lock file again, and on POSIX systems that gives the lock away, to any other process.
 */
const openHere = new Set<string>()

/**
 * Opens the LevelDB of a folder, or makes one where there is none.
 *
 * @param isRepair lets LevelDB gather what a damaged folder still holds
 * @throws PeltonError `outbox-unusable`: the package `classic-level` is missing, the folder is open already, damaged, holds
 *   something else or cannot be written
 */
export async function openFolder(path: string, isRepair: boolean): Promise<Level> {
  const Level = await loadClassicLevel()
  const identity = await identityOf(path)
  if (openHere.has(identity)) throw openAlready(path)
  openHere.add(identity)
  try {
    const level = await openOrRepair(Level, path, isRepair)
    level.once('closed', () => openHere.delete(identity))
    return level
  } catch (thrown) {
    openHere.delete(identity)
    throw thrown
  }
}

async function identityOf(path: string): Promise<string> {
  try {
    await mkdir(path, { recursive: true })
    const { dev, ino } = await stat(path, { bigint: true })
    return `${dev}:${ino}`
  } catch (thrown) {
    throw openingFailed(path, thrown)
  }
}

async function openOrRepair(Level: typeof ClassicLevel, path: string, isRepair: boolean): Promise<Level> {
  const isHeadless = await checkFolder(path, isRepair)
  const open = async (): Promise<Level> => {
    const level: Level = new Level(path, { keyEncoding: 'utf8', valueEncoding: 'view' })
    await level.open()
    return level
  }
  try {
    // Repairing takes no lock: only what no process can open is repaired.
    if (!isHeadless) return await open()
  } catch (thrown) {
    const failed = openingFailed(path, thrown)
    if (!isRepair || codeOf(failed.cause) === 'LEVEL_LOCKED') throw failed
  }
  try {
    await Level.repair(path)
    return await open()
  } catch (thrown) {
    throw openingFailed(path, thrown)
  }
}

/** The package is optional, so that a plain producer needs no native code: it is loaded where it is used. */
async function loadClassicLevel(): Promise<typeof ClassicLevel> {
  try {
    return (await import('classic-level')).ClassicLevel
  } catch (thrown) {
    const isMissing = codeOf(thrown) === 'ERR_MODULE_NOT_FOUND'
    const why = isMissing
      ? 'an outbox needs the package classic-level, which is not installed'
      : 'the package classic-level is installed but cannot be loaded'
    const remedy = isMissing
      ? 'Run `npm install classic-level@3`.'
      : 'Run `npm rebuild classic-level` on this kind of machine.'
    throw new PeltonError('outbox-unusable', why, { field: 'classic-level', remedy }, thrown)
  }
}

/**
 * Refuses folders that LevelDB would take without a word: those of others, and those that lost their `CURRENT`.
 *
 * @returns whether `CURRENT` is missing from a folder that shall be repaired
 */
async function checkFolder(path: string, isRepair: boolean): Promise<boolean> {
  const files = await readdir(path)
  const stranger = files.find((file) => !LEVELDB_FILE.test(file) && file !== 'lost')
  if (stranger !== undefined) {
    throw unusable(path, `the folder holds something else: ${showValue(stranger)}`, FRESH_FOLDER)
  }
  if (files.includes('CURRENT')) return false
  for (const file of files.filter((name) => LEVELDB_CONTENT.test(name))) {
    const { size } = await stat(join(path, file))
    if (size === 0) continue
    if (isRepair) return true
    throw damaged(path, 'its file CURRENT is missing')
  }
  return false
}

const FRESH_FOLDER = 'Name an empty folder, or one that does not exist yet.'

/** The error for a folder whose content is not what was written. */
export function damaged(path: string, what: string, cause?: unknown): PeltonError {
  const remedy =
    'Copy the folder, then open it with `repair: true`: what can be read is kept, the rest counted.'
  return unusable(path, `the outbox is damaged: ${what}`, remedy, cause)
}

/** The error for a folder with entries of something else in it. */
export function foreign(path: string): PeltonError {
  return unusable(path, 'the folder holds a LevelDB that is no outbox of this version', FRESH_FOLDER)
}

function openAlready(path: string, cause?: unknown): PeltonError {
  const remedy = 'Close the other one, or give each process a folder of its own.'
  return unusable(path, 'another outbox, of this process or another, has the folder open', remedy, cause)
}

function openingFailed(path: string, thrown: unknown): PeltonError {
  const cause = thrown instanceof Error && thrown.cause !== undefined ? thrown.cause : thrown
  const text = messageOf(cause)
  if (codeOf(cause) === 'LEVEL_LOCKED') return openAlready(path, cause)
  if (codeOf(cause) === 'LEVEL_CORRUPTION' || /corrupt|no such file|not an sstable|missing files/i.test(text))
    return damaged(path, 'LevelDB cannot open it', cause)
  const remedy = 'Check that it is a folder which this user may write, and that the disk has room.'
  return unusable(path, 'the folder cannot be opened', remedy, cause)
}

function unusable(path: string, description: string, remedy: string, cause?: unknown): PeltonError {
  const details = { field: 'path', value: showValue(path, 200), remedy }
  return new PeltonError('outbox-unusable', description, details, cause)
}

function codeOf(thrown: unknown): unknown {
  return thrown instanceof Error && 'code' in thrown ? thrown.code : undefined
}
