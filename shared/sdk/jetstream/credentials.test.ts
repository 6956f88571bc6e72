import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, onTestFinished, test } from 'vitest'
import { messageOf } from '../errors.ts'
import { openAuthenticator } from './credentials.ts'

test('a file that cannot be read is told once until it can, and what it held before is said', async () => {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-credentials-'))
  onTestFinished(() => rm(folder, { recursive: true }))
  const tokenFile = join(folder, 'token')
  await writeFile(tokenFile, 'one')
  const told: string[] = []
  const say = openAuthenticator({ tokenFile }, 'settings', (thrown) => void told.push(messageOf(thrown)))
  const said = (): unknown => say?.('nonce')
  await rm(tokenFile)
  expect([said(), said(), said()]).toEqual(Array(3).fill({ auth_token: 'one' }))
  expect(told).toEqual([expect.stringContaining('ENOENT')])
  await writeFile(tokenFile, '')
  said()
  expect(told).toEqual([expect.anything(), expect.stringContaining('empty')])
  await writeFile(tokenFile, 'two')
  expect(said()).toEqual({ auth_token: 'two' })
  await rm(tokenFile)
  expect(said()).toEqual({ auth_token: 'two' })
  expect(told).toHaveLength(3)
})
