import { isToken } from '../../sdk/contract/token.ts'
import { PeltonError, showValue } from '../../sdk/errors.ts'

/** One dead letter. */
export type Which = { readonly token: string } | { readonly sequence: number }

/** @throws PeltonError `invalid-argument` */
export function readWhich(text: string): Which {
  if (/^[1-9]\d{0,15}$/.test(text)) return { sequence: Number(text) }
  if (isToken(text)) return { token: text }
  throw new PeltonError('invalid-argument', 'this is neither a token nor a sequence', {
    field: 'token-or-sequence',
    value: showValue(text),
    remedy: 'Take one of `pelton dead-letters list`.',
  })
}
