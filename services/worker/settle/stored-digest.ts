import { TURN_BYTES, type Turns } from '../../../shared/runtime/turns.ts'
import { goOnDigest, outcomeDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import type { EncodedMessage } from '../../../shared/sdk/jetstream/publish-window.ts'

const NO_BYTES = new Uint8Array()

/** The digest of a stored message. Of a large body no more is made in one turn than a turn may have. */
export function storedDigest(
  { headerBlock, body }: Pick<EncodedMessage, 'headerBlock' | 'body'>,
  turns: Pick<Turns, 'spend'>,
): number | Promise<number> {
  if (body.length <= TURN_BYTES) return outcomeDigest(headerBlock, body)
  return digestLarge(outcomeDigest(headerBlock, NO_BYTES), body, turns)
}

async function digestLarge(begun: number, body: Uint8Array, turns: Pick<Turns, 'spend'>): Promise<number> {
  let digest = begun
  for (let at = 0; at < body.length; at += TURN_BYTES) {
    const piece = body.subarray(at, at + TURN_BYTES)
    await turns.spend(piece.length)
    digest = goOnDigest(digest, piece)
  }
  return digest
}
