import { PassThrough } from 'node:stream'
import { stripVTControlCharacters } from 'node:util'
import { describe, expect, it, onTestFinished, vi } from 'vitest'
import { createTerminal, type Terminal } from './terminal.ts'

const HOSTILE = '\u001b[2J\u001b]0;pwned\u0007evil\r\nall is well\u202e\u009b31m'
const SHOWN = '\\u001b[2J\\u001b]0;pwned\\u0007evil\\u000d\\u000aall is well\\u202e\\u009b31m'

/** A terminal and what it wrote so far. */
async function open(isTTY: boolean): Promise<{ readonly terminal: Terminal; written(): string }> {
  const chunks: string[] = []
  const stream = (): NodeJS.WriteStream => {
    const out = new PassThrough({ encoding: 'utf8' }).on('data', (chunk: string) => chunks.push(chunk))
    return Object.assign(out, { isTTY, columns: 40 }) as unknown as NodeJS.WriteStream
  }
  const terminal = await createTerminal(stream(), stream())
  return { terminal, written: () => chunks.join('') }
}

describe.each([['a person watches', true] as const, ['a file takes it', false] as const])(
  'what events bring, where %s',
  (_who, isTTY) => {
    it('is shown, never obeyed, and stays on its line', async () => {
      const { terminal, written } = await open(isTTY)
      terminal.print(HOSTILE)
      terminal.note(HOSTILE)
      terminal.table([
        ['MODEL', 'COUNT'],
        [HOSTILE, '1'],
      ])
      const lines = stripVTControlCharacters(written()).split('\n')
      expect(lines).toEqual([SHOWN, SHOWN, `MODEL${' '.repeat(SHOWN.length - 5)}  COUNT`, `${SHOWN}  1`, ''])
    })

    it('is exact as JSON, and harmless', async () => {
      const { terminal, written } = await open(isTTY)
      terminal.json({ name: HOSTILE, at: 12345678901234567890n })
      expect(JSON.parse(written())).toEqual({ name: HOSTILE, at: 12345678901234567000 })
      expect(written()).toMatch(/^[ -~]*"at":12345678901234567890\}\n$/)
    })
  },
)

it('progress beside a terminal is a line every three seconds of what takes long', async () => {
  const { terminal, written } = await open(false)
  let now = performance.now()
  vi.spyOn(performance, 'now').mockImplementation(() => now)
  onTestFinished(() => void vi.restoreAllMocks())
  terminal.progress('1 of 9')
  for (const done of [2, 3, 4, 5, 6, 7]) {
    now += 1_100
    terminal.progress(`${done} of 9`)
  }
  expect(written()).toBe('4 of 9\n7 of 9\n')
})

describe('colours', () => {
  it('are ours alone: those of a text are shown as text', async () => {
    const { terminal, written } = await open(true)
    terminal.print(`${terminal.bad('\u001b[32mreason')} rest`)
    expect(written()).toBe('\u001b[31m\\u001b[32mreason\u001b[39m rest\n')
  })

  it('are none where nobody watches', async () => {
    const { terminal, written } = await open(false)
    terminal.print(terminal.bad('reason'))
    expect(written()).toBe('reason\n')
  })

  it('are not counted when moving lines are cut to the width', async () => {
    const { terminal, written } = await open(true)
    terminal.view([`${terminal.bad('\u0007'.repeat(20))}`])
    expect(written()).toContain(`\u001b[31m${'\\u0007'.repeat(6)}\\u0\u001b[39m`)
  })
})
