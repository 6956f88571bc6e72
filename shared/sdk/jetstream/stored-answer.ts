const BEGIN = Buffer.from('{"stream":"')
const AFTER_NAME = Buffer.from('",')
const BEFORE_SEQUENCE = Buffer.from('"seq":')
const SPACE = 32
const QUOTE = 34
const BACKSLASH = 92
const END = 125

/**
 * The sequence in the plainest answer of a stream, `{"stream":"RESULTS","seq":17}`, which is that of nearly every publish. Read
 * from its bytes: parsing it as JSON costs several times as much.
 *
 * @returns 0 for anything else: a duplicate, a refusal, another order, a number beyond the safe ones
 */
export function readStoredAnswer(answer: Uint8Array): number {
  const end = answer.length - 1
  if (answer[end] !== END) return 0
  let sequence = 0
  let at = end
  for (let scale = 1; ; scale *= 10) {
    const digit = (answer[at - 1] ?? 0) - 48
    if (digit < 0 || digit > 9) break
    sequence += digit * scale
    at--
  }
  const isOne = at < end && end - at < 16 && answer[at] !== 48
  return isOne && hasStreamBefore(answer, at) ? sequence : 0
}

/** Whether the bytes before the number are the beginning of such an answer, with a name that needs no escape. */
function hasStreamBefore(answer: Uint8Array, to: number): boolean {
  const fieldFrom = to - BEFORE_SEQUENCE.length
  const nameTo = fieldFrom - AFTER_NAME.length - (answer[fieldFrom - 1] === SPACE ? 1 : 0)
  if (nameTo <= BEGIN.length || !isAt(answer, 0, BEGIN)) return false
  if (!isAt(answer, nameTo, AFTER_NAME) || !isAt(answer, fieldFrom, BEFORE_SEQUENCE)) return false
  for (let at = BEGIN.length; at < nameTo; at++) {
    const byte = answer[at]
    if (byte === QUOTE || byte === BACKSLASH) return false
  }
  return true
}

function isAt(answer: Uint8Array, from: number, wanted: Uint8Array): boolean {
  for (let at = 0; at < wanted.length; at++) if (answer[from + at] !== wanted[at]) return false
  return true
}
