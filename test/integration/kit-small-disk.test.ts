import { access, readFile, writeFile } from 'node:fs/promises'
import { join } from 'node:path'
import { describe, expect, it } from 'vitest'
import { noSmallDisk, openSmallDisk } from '../kit/small-disk.ts'

const reason = await noSmallDisk()

describe.skipIf(reason !== undefined)(`small disk${reason === undefined ? '' : `: ${reason}`}`, () => {
  it('has the size asked for and no more, until it is freed', async () => {
    const disk = await openSmallDisk(4)
    try {
      expect(await disk.freeBytes()).toBe(4 * 1024 * 1024)
      await writeFile(join(disk.path, 'before'), 'kept')
      await disk.fill()
      expect(await disk.freeBytes()).toBe(0)
      await expect(writeFile(join(disk.path, 'more'), 'x'.repeat(10_000))).rejects.toMatchObject({
        code: 'ENOSPC',
      })
      await disk.free()
      await writeFile(join(disk.path, 'more'), 'x'.repeat(10_000))
      expect(await readFile(join(disk.path, 'before'), 'utf8')).toBe('kept')
    } finally {
      await disk.remove()
    }
  })

  it('leaves what it is told to leave, and can be removed twice', async () => {
    const disk = await openSmallDisk(4)
    await disk.fill(1024 * 1024)
    expect(await disk.freeBytes()).toBeLessThanOrEqual(1024 * 1024)
    expect(await disk.freeBytes()).toBeGreaterThan(900 * 1024)
    await disk.remove()
    await disk.remove()
    await expect(access(disk.path)).rejects.toMatchObject({ code: 'ENOENT' })
  })
})
