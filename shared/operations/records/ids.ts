import { randomBytes } from 'node:crypto'

/** Sorts by when it was made: `20260131T120000-1f2e3d`. */
export function newId(now: Date): string {
  return `${now.toISOString().slice(0, 19).replace(/[-:]/g, '')}-${randomBytes(3).toString('hex')}`
}
