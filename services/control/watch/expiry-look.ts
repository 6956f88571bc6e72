import { expiryLevel, expiryRemedy, expiryText } from '../../../shared/operations/broker/credentials.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import type { Expiry } from '../../../shared/sdk/jetstream/expiry.ts'

/**
 * What lets this control service in and ends soon. It sees its own files alone; those of workers are in their metrics. Pure.
 *
 * @param name of the control service
 */
export function expiryAlerts(name: string, expiries: readonly Expiry[], now: number): readonly NewAlert[] {
  const ending = expiries.filter((expiry) => expiryLevel(expiry, now) !== 'far')
  return ending.map((expiry) => ({
    kind: 'credentials-end',
    about: `${name} ${expiry.kind}`,
    text: `of control service ${name}, ${expiryText(expiry, now)}`,
    remedy: expiryRemedy(expiry),
    count: 0,
  }))
}
