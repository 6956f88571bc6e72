import { describe, expect, test } from 'vitest'
import { FATE } from '../measure/account.ts'
import { Answers } from './door.ts'
import { readAnswer } from './http-answer.ts'

function answerOf(status: string, headers: string, body: string): string {
  return `HTTP/1.1 ${status}\r\ncontent-length: ${body.length}\r\n${headers}\r\n${body}`
}

function toldOf(text: string): Answers {
  const answers = new Answers(1, () => 0)
  readAnswer(text)?.tell(answers, 0)
  return answers
}

describe('an answer over HTTP', () => {
  test('is read when it is whole', () => {
    const text = answerOf('200 OK', '', '{"outputs":[]}')
    expect(readAnswer(text.slice(0, 20))).toBeUndefined()
    expect(readAnswer(text.slice(0, -1))).toBeUndefined()
    expect(readAnswer(text)?.keepsAlive).toBe(true)
  })

  test('200 is a prediction', () => {
    const { fates, latencyMs } = toldOf(answerOf('200 OK', '', '{}'))
    expect(fates[0]).toBe(FATE.prediction)
    expect(latencyMs[0]).toBeGreaterThan(0)
  })

  test('a reason makes a dead letter of it', () => {
    const answers = toldOf(
      answerOf('504 Gateway Timeout', '', '{"reason":"deadline-exceeded","code":"deadline-exceeded"}'),
    )
    expect(answers.fates[0]).toBe(FATE.deadLetter)
    expect([...answers.said]).toEqual([['dead letter: deadline-exceeded', 1]])
  })

  test('a timeout is an accepted event, whose token is kept', () => {
    const answers = toldOf(answerOf('504 Gateway Timeout', 'Pelton-Token: abc\r\n', '{"code":"timeout"}'))
    expect(answers.fates[0]).toBe(FATE.accepted)
    expect(answers.tokens.get(0)).toBe('abc')
  })

  test('what nobody knows the fate of is in doubt, not refused', () => {
    const answers = toldOf(answerOf('503 Service Unavailable', '', '{"code":"broker-unavailable"}'))
    expect(answers.fates[0]).toBe(FATE.inDoubt)
    expect(answers.tokens.size).toBe(0)
  })

  test('everything else is a refusal, in words or without', () => {
    expect(
      toldOf(answerOf('503 Service Unavailable', '', '{"code":"stream-full"}'))
        .said.keys()
        .next().value,
    ).toBe('refused: 503 stream-full')
    expect(toldOf(answerOf('429 Too Many Requests', '', 'slow down')).fates[0]).toBe(FATE.refusal)
  })

  test('a connection that ends with its answer is not used again', () => {
    expect(readAnswer(answerOf('200 OK', 'Connection: close\r\n', ''))?.keepsAlive).toBe(false)
  })
})

test('the first word about an event stays', () => {
  const answers = new Answers(2, () => 0)
  answers.refused(0, 'full')
  answers.predicted(0)
  expect([...answers.fates]).toEqual([FATE.refusal, FATE.lost])
  expect(answers.settled).toBe(1)
})
