/** Done with it: the message is not delivered again. */
export const ACK = '+ACK'

/** Still at work: the broker waits another `ack_wait` before it delivers the message to somebody else. */
export const IN_PROGRESS = '+WPI'

/** Not now: the broker delivers the message again, after `delayMs`. */
export function notNow(delayMs = 0): string {
  return delayMs > 0 ? `-NAK ${JSON.stringify({ delay: Math.ceil(delayMs * 1e6) })}` : '-NAK'
}
