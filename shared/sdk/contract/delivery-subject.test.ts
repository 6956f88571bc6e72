import { describe, expect, it } from 'vitest'
import { readDeliverySubject } from './delivery-subject.ts'

const info = {
  stream: 'FEATURES',
  consumer: 'worker-default-high',
  deliveryCount: 3,
  streamSequence: 1234,
  consumerSequence: 99,
  storedAt: 1_700_000_000_123,
  pending: 42,
}
const rest = 'FEATURES.worker-default-high.3.1234.99.1700000000123000000.42'

describe('readDeliverySubject', () => {
  it.each([
    ['the old form', `$JS.ACK.${rest}`],
    ['the new form', `$JS.ACK.hub.ACCHASH.${rest}`],
    ['the new form without a domain', `$JS.ACK._.ACCHASH.${rest}`],
    ['the new form with its random last part', `$JS.ACK._.ACCHASH.${rest}.aZ09`],
  ])('reads %s', (_what, subject) => {
    expect(readDeliverySubject(subject)).toEqual(info)
    expect(readDeliverySubject(subject)).toEqual(info)
  })

  it('reads the plain name of a stream with a prefix, and tells the two apart', () => {
    for (const _again of [1, 2]) {
      expect(readDeliverySubject(`$JS.ACK.staging-${rest}`)).toEqual(info)
      expect(readDeliverySubject(`$JS.ACK.hub.ACCHASH.staging-${rest}`)).toEqual(info)
      expect(readDeliverySubject(`$JS.ACK.${rest}`)).toEqual(info)
    }
    const foreign = `$JS.ACK.my-orders.${rest.slice('FEATURES.'.length)}`
    expect(readDeliverySubject(foreign)).toMatchObject({ stream: 'my-orders' })
  })

  it('reads the next of a consumer it has met as it read the first', () => {
    const of = (consumer: string, numbers: string): string => `$JS.ACK.FEATURES.${consumer}.${numbers}`
    expect(readDeliverySubject(of('a', '1.2.3.4000000.5'))).toMatchObject({ consumer: 'a', storedAt: 4 })
    expect(readDeliverySubject(of('a', '6.7.8.9000000.10'))).toEqual({
      ...{ stream: 'FEATURES', consumer: 'a', deliveryCount: 6, streamSequence: 7, consumerSequence: 8 },
      ...{ storedAt: 9, pending: 10 },
    })
    for (const numbers of [
      '',
      '1',
      '1.2.3.4',
      '1.2.3.4.',
      '1.2.3.4.x',
      '1..3.4.5',
      '1.2.3.4.5 ',
      '1.2.3.4.-5',
    ])
      expect([numbers, readDeliverySubject(of('a', numbers))]).toEqual([numbers, undefined])
    const unlike = of('a', '1.2.3.4000000.5.aZ09')
    // Eleven parts begin with a domain and an account: what looks like a consumer that was met is none.
    expect(readDeliverySubject(unlike)).toEqual(readDeliverySubject(`${unlike}`))
  })

  it.each([
    '',
    '_INBOX.a.b',
    '$JS.ACK',
    '$JS.ACK.FEATURES.worker.1.2.3.4',
    `$JS.NAK.${rest}`,
    `$JS.ACK.x.${rest}`,
    '$JS.ACK.FEATURES.worker.x.2.3.4.5',
    '$JS.ACK.FEATURES.worker.1.x.3.4.5',
    '$JS.ACK.FEATURES.worker.1.2.3.x.5',
    '$JS.ACK.FEATURES.worker.1.2.3.4.',
  ])('knows no delivery in %j', (subject) => expect(readDeliverySubject(subject)).toBeUndefined())
})
