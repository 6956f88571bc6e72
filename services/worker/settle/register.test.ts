import { describe, expect, it, test } from 'vitest'
import { outcomeDigest, writtenDigest } from '../../../shared/sdk/contract/outcome-digest.ts'
import { encodeLines } from '../../../shared/sdk/contract/register-message.ts'
import { createClaims } from './register.ts'

const message = { subject: 'results.m.t', lines: 'Pelton-Token: t\r\n', body: Buffer.from('{}') }

describe('createClaims', () => {
  test.each(['RESULTS', 'staging-RESULTS'])('names %s, and what its register has to hold', (results) => {
    const claims = createClaims(results)
    const text = (expected?: number): string =>
      Buffer.from(claims.of(message, expected).headerBlock).toString()
    expect(text()).toBe(
      `NATS/1.0\r\nNats-Expected-Stream: ${results}\r\nNats-Expected-Last-Subject-Sequence: 0\r\nPelton-Token: t\r\n\r\n`,
    )
    expect(text(7)).toContain('Nats-Expected-Last-Subject-Sequence: 7\r\n')
  })

  it('knows where the lines of the outcome begin: its digest is that of the outcome alone', () => {
    for (const results of ['RESULTS', 'staging-RESULTS']) {
      const claims = createClaims(results)
      const { headerBlock, body } = claims.of(message)
      expect(writtenDigest(headerBlock, claims.ownLines, body)).toBe(
        outcomeDigest(encodeLines(message), body),
      )
    }
  })
})
