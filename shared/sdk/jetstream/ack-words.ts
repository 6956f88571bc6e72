import type { DataPath } from './data-path.ts'

/** Done with it: the message is not delivered again. */
export const ACK = '+ACK'

/** Still at work: the broker waits another `ack_wait` before it delivers the message to somebody else. */
export const IN_PROGRESS = '+WPI'

/** Not now: the broker delivers the message again, after `delayMs`. */
export function notNow(delayMs = 0): string {
  return delayMs > 0 ? `-NAK ${JSON.stringify({ delay: Math.ceil(delayMs * 1e6) })}` : '-NAK'
}

/** Nearly all words are this one. */
const ACKNOWLEDGED = { body: Buffer.from(ACK) }

/** Says one of these words of a delivery. @param ackSubject the reply subject it came with */
export function say(path: DataPath, ackSubject: string, word: string): void {
  path.publish(ackSubject, word === ACK ? ACKNOWLEDGED : { body: Buffer.from(word) })
}
