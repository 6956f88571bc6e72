import { createHash } from 'node:crypto'
import { mkdir, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import { runCommand } from './command.ts'
import { downloadDebianPackage } from './debian.ts'
import { findProgram } from './find.ts'
import { createScratch, type Scratch, writeProgram } from './testdata/stand-in.ts'

const apt = await findProgram('apt-get', process.env)
let scratch: Scratch
let notes: string[]

beforeEach(async () => {
  scratch = await createScratch()
  notes = []
  await mkdir(join(scratch.dir, 'work'))
})
afterEach(() => scratch.remove())

const inScratch = (...parts: string[]) => join(scratch.dir, ...parts)

function download(env: NodeJS.ProcessEnv): Promise<string> {
  return downloadDebianPackage({ env, workDir: inScratch('work'), note: (text) => notes.push(text) })
}

/** An apt-get that names these targets as the machine's and leaves everything else to the real one. */
async function aptNaming(targets: string): Promise<NodeJS.ProcessEnv> {
  const script = `case "$1" in indextargets) printf '${targets}\\n' ;; *) exec ${apt} "$@" ;; esac`
  await writeProgram(inScratch('bin'), 'apt-get', script)
  return { ...process.env, PATH: `${inScratch('bin')}:${process.env.PATH}` }
}

/** An archive in a folder, with a package list that matches its Release file and no signature. */
async function writeUnsignedArchive(): Promise<string> {
  const architecture = (
    await runCommand('dpkg', ['--print-architecture'], { env: process.env, timeoutMs: 10_000 })
  ).trim()
  const list = `main/binary-${architecture}/Packages`
  const suite = inScratch('archive', 'dists', 'sid')
  await mkdir(join(suite, 'main', `binary-${architecture}`), { recursive: true })
  await writeFile(join(suite, list), '')
  const sum = createHash('sha256').update('').digest('hex')
  const head = `Origin: Debian\nLabel: Debian\nCodename: sid\nArchitectures: ${architecture}\n`
  const date = 'Date: Sat, 01 Aug 2026 00:00:00 UTC\n'
  await writeFile(join(suite, 'Release'), `${head}Components: main\n${date}SHA256:\n ${sum} 0 ${list}\n`)
  return `file:${inScratch('archive')}/`
}

describe('a machine without apt', () => {
  it('is told apart by what is on PATH', async () => {
    await expect(download({ PATH: inScratch('bin') })).rejects.toThrow('no Debian-family machine')
  })
})

describe.skipIf(apt === undefined)('a machine with apt', () => {
  it('refuses an archive that Debian did not sign', async () => {
    const archive = await writeUnsignedArchive()
    const env = await aptNaming(`${archive}|Debian|Debian`)
    await expect(download(env)).rejects.toThrow(/apt-get update failed: .*(not signed|no longer signed)/)
    expect(notes.at(-1)).toContain(archive)
  })

  it('whose archives are not Debian says so, and asks the sources a second time before it does', async () => {
    const env = await aptNaming('http://127.0.0.1:9/other/|Ubuntu|Ubuntu\\ncdrom:[disc]/|Debian|Debian')
    await writeFile(
      inScratch('apt.conf'),
      'Dir::Etc::sourcelist "/dev/null";\nDir::Etc::sourceparts "/dev/null";\n',
    )
    const asking = download({ ...env, APT_CONFIG: inScratch('apt.conf') })
    await expect(asking).rejects.toThrow('names no Debian archive')
    expect(notes).toEqual([expect.stringContaining('apt holds no package lists yet')])
  })

  it('prefers the main archive to the security archive', async () => {
    const archive = await writeUnsignedArchive()
    const env = await aptNaming(
      `http://127.0.0.1:9/security/|Debian|Debian-Security\\n${archive}|Debian|Debian`,
    )
    await expect(download(env)).rejects.toThrow('apt-get update failed')
    expect(notes.at(-1)).toContain(archive)
  })
})
