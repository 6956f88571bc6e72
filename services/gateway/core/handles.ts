import { createHmac, timingSafeEqual } from 'node:crypto'
import { isLane, type Lane } from '../../../shared/sdk/contract/subjects.ts'
import { isToken } from '../../../shared/sdk/contract/token.ts'

/** What a handle says: by it any gateway finds an event, and who asked for it. */
export interface Handle {
  readonly pool: string
  readonly model: string
  readonly lane: Lane
  readonly loweredFrom: Lane | undefined
  readonly token: string
  /** Position in FEATURES. */
  readonly sequence: number
  /** Source of the caller that asked, whatever source its event has. */
  readonly owner: string
}

/** Longer ones are none, characters: what is in a handle is names of 255 bytes at most. */
export const LONGEST_HANDLE = 2_048
/** Bytes of the signature that are kept. */
const KEPT = 18
const SIGNED = /^([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]{24})$/

/** Writes and reads handles that only whoever has the secret can write. */
export class Handles {
  readonly #secret: string

  constructor(secret: string) {
    this.#secret = secret
  }

  /** A handle as text of base64url and one dot. */
  sign({ pool, model, lane, loweredFrom, token, sequence, owner }: Handle): string {
    const said = Buffer.from(JSON.stringify([pool, model, lane, loweredFrom ?? '', token, sequence, owner]))
    const text = said.toString('base64url')
    return `${text}.${this.#signatureOf(text)}`
  }

  /** @returns undefined for what was not signed with this secret, to the letter */
  read(text: string): Handle | undefined {
    const [, said = '', signature = ''] = (text.length <= LONGEST_HANDLE && SIGNED.exec(text)) || []
    // Texts are compared, not what they stand for: several texts of base64url can stand for the same bytes.
    if (said === '' || !isSame(signature, this.#signatureOf(said))) return undefined
    return parse(Buffer.from(said, 'base64url').toString())
  }

  #signatureOf(text: string): string {
    const bytes = createHmac('sha256', this.#secret).update(text).digest()
    return bytes.subarray(0, KEPT).toString('base64url')
  }
}

function isSame(one: string, other: string): boolean {
  const [bytes, others] = [Buffer.from(one), Buffer.from(other)]
  return bytes.length === others.length && timingSafeEqual(bytes, others)
}

/** What a gateway of another version signed may be none. */
function parse(text: string): Handle | undefined {
  const [pool, model, lane, lowered, token, sequence, owner] = fieldsOf(text)
  const texts = [pool, model, lane, lowered, token, owner]
  if (!texts.every((each) => typeof each === 'string') || !Number.isSafeInteger(sequence)) return undefined
  if (!isLane(lane as string) || !isToken(token as string)) return undefined
  const loweredFrom = isLane(lowered as string) ? (lowered as Lane) : undefined
  return { pool, model, lane, loweredFrom, token, sequence, owner } as Handle // each was looked at
}

function fieldsOf(text: string): readonly unknown[] {
  try {
    const fields: unknown = JSON.parse(text)
    return Array.isArray(fields) ? fields : []
  } catch {
    return []
  }
}
