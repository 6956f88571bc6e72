import { mkdtemp, readdir, readFile, rm, stat, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { PeltonError } from '../../../shared/sdk/errors.ts'
import { refuseOpenDoor } from './guard.ts'
import { discardBody, filterQuery, readInput, startBody } from './input.ts'
import { openTokens, readTokens } from './token.ts'

const LONG = 'a-token-that-is-long-enough'

describe('refuseOpenDoor', () => {
  it.each([
    ['127.0.0.1', true],
    ['::1', true],
    ['localhost', true],
    ['0.0.0.0', false],
    ['::', false],
    ['10.0.0.1', false],
  ])('%s: %s', (host, isOurs) => {
    if (isOurs) expect(() => refuseOpenDoor(host, undefined)).not.toThrow()
    else expect(() => refuseOpenDoor(host, undefined)).toThrow(/PELTON_CONTROL_HOST/)
    expect(() => refuseOpenDoor(host, LONG)).not.toThrow()
  })
})

describe('tokens', () => {
  it('are one, or several with names', () => {
    expect(readTokens(LONG)).toEqual(new Map([['http', LONG]]))
    expect(readTokens(`ann:${LONG}1, bob:${LONG}2`)).toEqual(
      new Map([
        ['ann', `${LONG}1`],
        ['bob', `${LONG}2`],
      ]),
    )
  })

  it.each([['short'], ['with spaces in the middle of it'], [`a:${LONG},a:${LONG}`], [`a:b:${LONG}`], [',']])(
    'refuses %s without repeating it',
    (text) => {
      const read = (): unknown => readTokens(text)
      expect(read).toThrow(PeltonError)
      expect(read).toThrow(/PELTON_CONTROL_TOKEN = \(hidden\)/)
    },
  )

  it('are generated once, for their owner only, also in a folder that had one with wide rights', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pelton-token-'))
    try {
      const { file = '', nameOf } = await openTokens(undefined, join(folder, 'new'))
      const token = (await readFile(file, 'utf8')).trim()
      expect([nameOf(token), nameOf(`${token}0`), nameOf('')]).toEqual(['http', undefined, undefined])
      await writeFile(join(folder, 'control.token'), `${LONG}\n`, { mode: 0o644 })
      const kept = await openTokens(undefined, folder)
      expect(kept.nameOf(LONG)).toBe('http')
      expect((await stat(kept.file ?? '')).mode & 0o777).toBe(0o600)
    } finally {
      await rm(folder, { recursive: true })
    }
  })
})

describe('the kept token', () => {
  const inFolder = async (check: (folder: string) => Promise<void>): Promise<void> => {
    const folder = await mkdtemp(join(tmpdir(), 'pelton-token-'))
    await check(folder).finally(() => rm(folder, { recursive: true }))
  }

  it('is the same for all who make one at the same time, and nothing else is left', () =>
    inFolder(async (folder) => {
      const opened = await Promise.all(Array.from({ length: 8 }, () => openTokens(undefined, folder)))
      const token = (await readFile(join(folder, 'control.token'), 'utf8')).trim()
      expect(token).toMatch(/^[0-9a-f]{64}$/)
      for (const { nameOf } of opened) expect(nameOf(token)).toBe('http')
      expect(await readdir(folder)).toEqual(['control.token'])
    }))

  it.each(['', '\n', 'short\n'])('is refused where it is %j: it would let everybody in', (text) =>
    inFolder(async (folder) => {
      await writeFile(join(folder, 'control.token'), text)
      await expect(openTokens(undefined, folder)).rejects.toThrow(
        /characters, and needs 16 at least \(PELTON_DATA = .*control\.token.*\)\. Remove the file/,
      )
    }),
  )
})

describe('readInput', () => {
  it('reads what is right', () => {
    expect(readInput(filterQuery, { model: 'm', maxFailures: '3' })).toEqual({ model: 'm', maxFailures: 3 })
    expect(readInput(startBody, { all: true })).toEqual({ all: true, filter: {} })
    expect(readInput(discardBody, { which: [17], because: 'x' })).toMatchObject({
      which: [{ sequence: 17 }],
      confirm: false,
    })
    expect(readInput(startBody, { all: true, patch: [{ op: 'remove', path: '/a' }] }).patch).toBe(
      '[{"op":"remove","path":"/a"}]',
    )
  })

  it('names the field that is wrong, its value, and where to look', () => {
    const read = (): unknown => readInput(startBody, { filter: { reason: 'bad-luck' } })
    expect(read).toThrow(/filter\.reason = "bad-luck"/)
    expect(read).toThrow(/docs\/control\.md/)
  })
})
