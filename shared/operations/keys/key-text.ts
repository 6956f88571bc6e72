import { hash, randomBytes } from 'node:crypto'

/** A key as its holder has it, taken apart. */
export interface KeyParts {
  readonly id: string
  readonly secret: string
}

/** 32 letters, so that each takes five bits of a byte and none is likelier. */
const LETTERS = 'abcdefghijklmnopqrstuvwxyz234567'
const ID_LENGTH = 10
const SECRET_BYTES = 32
const ID = /^[a-z2-7]{10}$/
const KEY = /^pelton_([a-z2-7]{10})_([A-Za-z0-9_-]{43})$/
/** A key somewhere in a text, also one that is cut short: enough of its secret to be one. */
const KEY_WITHIN = /pelton_[a-z2-7]{10}_[A-Za-z0-9_-]{8}/

/** Makes up a key: an id of 50 random bits, which may be shown, and a secret of 256, which may not. */
export function newKeyParts(): KeyParts {
  const id = [...randomBytes(ID_LENGTH)].map((byte) => LETTERS[byte % LETTERS.length]).join('')
  return { id, secret: randomBytes(SECRET_BYTES).toString('base64url') }
}

/** A key as one word, `pelton_<id>_<secret>`: its beginning lets scanners of secrets find it where it does not belong. */
export function showKey({ id, secret }: KeyParts): string {
  return `pelton_${id}_${secret}`
}

/** Takes a key apart; `undefined` for what is none. Takes no longer for a longer text. */
export function readKey(text: string): KeyParts | undefined {
  const [, id, secret] = KEY.exec(text) ?? []
  return id === undefined || secret === undefined ? undefined : { id, secret }
}

/** Whether a text can be the id of a key. */
export function isKeyId(text: string): boolean {
  return ID.test(text)
}

/** Whether a key stands somewhere in a text. */
export function holdsKey(text: string): boolean {
  return KEY_WITHIN.test(text)
}

/**
 * What is kept of a secret: SHA-256 of its characters. Slow hashes are for passwords, which can be guessed; a secret here is
 * 256 random bits, and nobody tries 2^256 of them at any speed.
 */
export function hashSecret(secret: string): Buffer {
  return hash('sha256', secret, 'buffer')
}
