import type { NumberedLine } from '../../runtime/lines.ts'
import { HEADERS } from '../../sdk/contract/headers.ts'
import { PeltonError } from '../../sdk/errors.ts'
import { readRegister } from '../records/register.ts'
import type { OpsStore } from '../records/store.ts'
import { type Importable, type Imported, readArchived, storeArchived } from './archive.ts'
import { type EndedTokens, readEnded } from './ended-tokens.ts'

/** How many lines of an import ended in which way. */
export type ImportCounts = Readonly<Record<Imported, number>>

/** The two steps of an import: many may be checked at once, and are stored one after the other. */
export interface Importer {
  /** @returns the dead letter, or why it is left alone. @throws PeltonError `malformed`, `broker-unavailable` */
  check(bytes: Uint8Array): Promise<Importable | 'answered' | 'purged'>
  /** @throws PeltonError `stream-full`, `undeliverable`, `broker-unavailable` */
  store(letter: Importable): Promise<'stored' | 'present'>
}

/** Asks the register, and the ledger: that remembers what ended long after RESULTS let go of it. */
export function createImporter({ connection, window }: OpsStore): Importer {
  let ended: Promise<EndedTokens> | undefined
  return {
    async check(bytes) {
      const letter = readArchived(bytes)
      ended ??= readEnded(connection)
      const { model, token, headers } = letter
      const failedAt = headers.find(([name]) => name.toLowerCase() === HEADERS.failedAt)?.[1]
      const how = (await ended).endedSince(token, failedAt)
      if (how !== undefined) return how === 'purged' ? 'purged' : 'answered'
      return (await readRegister(connection, model, token)).kind === 'prediction' ? 'answered' : letter
    },
    store: (letter) => storeArchived(window, letter),
  }
}

/** Two round trips a line: so many lines at once make them one or two for all. */
const AT_ONCE = 16

/**
 * Imports lines in their order, several under way at once. Ends at the first that fails, and says which: none behind
 * one that cannot be read is stored, and of those behind one the broker refuses some may be.
 */
export async function storeInOrder(
  lines: AsyncIterable<NumberedLine>,
  importer: Importer,
): Promise<{ readonly counts: ImportCounts; readonly error: unknown }> {
  const counts: Record<Imported, number> = { stored: 0, present: 0, answered: 0, purged: 0 }
  const underWay: Promise<Imported>[] = []
  let error: unknown
  const settleFirst = async (): Promise<void> => {
    const imported = await underWay.shift()?.catch((thrown: unknown) => {
      error ??= thrown
    })
    if (imported !== undefined) counts[imported]++
  }
  let sent: Promise<unknown> = Promise.resolve()
  let cut: unknown
  try {
    for await (const line of lines) {
      const begun = importBehind(sent, line, importer)
      sent = begun
      underWay.push(begun.then(({ imported }) => imported))
      for (const promise of [begun, ...underWay.slice(-1)]) promise.catch(() => undefined) // read in its turn
      if (underWay.length >= AT_ONCE) await settleFirst()
      if (error !== undefined) break
    }
  } catch (thrown) {
    cut = thrown
  }
  while (underWay.length > 0) await settleFirst()
  return { counts, error: error ?? cut }
}

/** Resolves once the line has been sent, with what becomes of it; rejects where it, or one before it, is not sent. */
async function importBehind(
  before: Promise<unknown>,
  { number, bytes }: NumberedLine,
  { check, store }: Importer,
): Promise<{ readonly imported: Promise<Imported> }> {
  const checked = check(bytes).catch((thrown: unknown) => {
    throw atLine(number, thrown)
  })
  checked.catch(() => undefined) // where one before it fails, that is what is told
  await before
  const letter = await checked
  if (typeof letter === 'string') return { imported: Promise.resolve(letter) }
  const imported = store(letter).catch((thrown: unknown) => {
    throw atLine(number, thrown)
  })
  imported.catch(() => undefined)
  return { imported }
}

function atLine(number: number, thrown: unknown): unknown {
  if (!(thrown instanceof PeltonError)) return thrown
  return new PeltonError(thrown.code, `line ${number}: ${thrown.description}`, {}, thrown)
}
