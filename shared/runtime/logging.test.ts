import { expect, it } from 'vitest'
import { createLogger } from './logging.ts'

it('a log line is exact JSON, and nothing in it reaches a terminal as more than text', () => {
  const lines: string[] = []
  const log = createLogger('worker', 'info', { write: (line) => void lines.push(line) })
  const name = '\u001b[2J\u009b31m\u202e\u2028\u007f\r\n\u200b'
  log.child({ worker: name }).warn({ model: name, err: new Error(name) }, name)
  expect(lines).toHaveLength(1)
  expect(lines[0]).toMatch(/^[ -~]*\n$/)
  expect(JSON.parse(lines[0] ?? '')).toMatchObject({
    level: 'warn',
    worker: name,
    model: name,
    msg: name,
    err: { message: name },
  })
})
