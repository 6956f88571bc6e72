import { mkdir, mkdtemp, readdir, readFile, rm, symlink, utimes, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { afterEach, beforeEach, describe, expect, it } from 'vitest'
import {
  type DurableMarks,
  readMarksFolder,
  readMarksOf,
  removeLeftTemporaries,
  writeMarks,
} from './durable-marks.ts'

const EPOCH = '2026-01-31T12:00:00.123456789Z'
const MARKS: DurableMarks = {
  features: {
    epoch: EPOCH,
    marks: [
      [10, 4],
      [20, 25],
    ],
  },
  ledger: '2026-01-31T12:00:01Z',
}
const OTHER: DurableMarks = { features: { epoch: 'another', marks: [[5, 1]] }, ledger: '' }

let folder: string
beforeEach(async () => {
  folder = join(await mkdtemp(join(tmpdir(), 'pelton-marks-')), 'marks')
})
afterEach(() => rm(join(folder, '..'), { recursive: true, force: true }))

const fileOf = async (epoch: string): Promise<string> =>
  join(folder, (await readdir(folder)).find((name) => name.includes(epoch.slice(0, 7))) ?? '')

describe('durable marks', () => {
  it('are read as they were written, those of each FEATURES by themselves, and replaced whole', async () => {
    expect(await readMarksFolder(folder)).toEqual({ marks: [], damaged: [] })
    await writeMarks(folder, { ...MARKS, ledger: 'before' })
    await writeMarks(folder, OTHER)
    await writeMarks(folder, MARKS)
    expect(await readMarksFolder(folder)).toEqual({
      marks: expect.arrayContaining([MARKS, OTHER]),
      damaged: [],
    })
    expect(await readMarksOf(folder, EPOCH)).toEqual(MARKS)
    expect(await readMarksOf(folder, 'nobody')).toBeUndefined()
    expect(await readdir(folder)).toHaveLength(2)
  })

  it('are found damaged by any change of a byte, a missing end, and nothing at all', async () => {
    await writeMarks(folder, MARKS)
    const path = await fileOf(EPOCH)
    const whole = await readFile(path)
    const spoiled = Array.from(whole, (_byte, at) => {
      const copy = Buffer.from(whole)
      copy[at] = (copy[at] ?? 0) ^ 1
      return copy
    })
    const cut = Array.from(whole, (_byte, at) => whole.subarray(0, at)).slice(0, -1)
    for (const bytes of [...spoiled, ...cut, Buffer.concat([whole, Buffer.from('x')])]) {
      await writeFile(path, bytes)
      const { marks, damaged } = await readMarksFolder(folder)
      expect([marks, damaged], bytes.toString()).toEqual([[], [expect.stringContaining(path)]])
    }
  })

  it('that are damaged are set aside by who writes, and stay evidence', async () => {
    await writeMarks(folder, MARKS)
    await writeFile(await fileOf(EPOCH), 'junk')
    expect(await readMarksOf(folder, EPOCH)).toBeUndefined()
    await writeMarks(folder, MARKS)
    const { marks, damaged } = await readMarksFolder(folder)
    expect([marks, damaged]).toEqual([[MARKS], [expect.stringContaining('.damaged: it was set aside')]])
  })

  it('are said to be unreadable where the folder, or the file, is something else', async () => {
    await writeFile(folder, 'a file')
    expect(await readMarksFolder(folder)).toEqual({ marks: [], damaged: [expect.stringContaining(folder)] })
    await expect(writeMarks(folder, MARKS)).rejects.toThrow()
    await rm(folder)
    await mkdir(join(folder, 'features-x.json'), { recursive: true })
    await symlink(join(folder, 'features-y.json'), join(folder, 'features-y.json'))
    const { damaged } = await readMarksFolder(folder)
    expect(damaged).toEqual([
      expect.stringContaining('features-x.json'),
      expect.stringContaining('features-y.json'),
    ])
  })

  it('leave nothing of a writer that was killed, and what another writes now alone', async () => {
    await mkdir(folder)
    for (const name of ['old', 'new']) await writeFile(join(folder, `features-${name}.json.temporary`), '')
    await utimes(join(folder, 'features-old.json.temporary'), 1_000, 1_000)
    await removeLeftTemporaries(folder)
    expect(await readdir(folder)).toEqual(['features-new.json.temporary'])
    expect(await readMarksFolder(folder)).toEqual({ marks: [], damaged: [] })
    await removeLeftTemporaries(join(folder, 'nowhere'))
  })
})
