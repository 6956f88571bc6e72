import { describe, expect, it } from 'vitest'
import { siblingEntry, siblingThreadEntry } from './source-entry.ts'

describe('siblingEntry', () => {
  it('names the source file and loads tsx by its path when the parent runs from source', () => {
    const { url, execArgv } = siblingEntry(import.meta.url, 'some-process')
    expect(url.href).toBe(new URL('./some-process.ts', import.meta.url).href)
    expect(execArgv).toEqual(['--import', expect.stringMatching(/^file:.*\/tsx\/.*\.mjs$/)])
  })

  it('names the compiled file and needs no loader when the parent is compiled', () => {
    expect(siblingEntry('file:///dist/shared/parent.js', 'some-process')).toEqual({
      url: new URL('file:///dist/shared/some-process.js'),
      execArgv: [],
    })
  })
})

describe('siblingThreadEntry', () => {
  it('starts the source file behind tsx when the parent runs from source', () => {
    const { url, execArgv } = siblingThreadEntry(import.meta.url, 'some-thread')
    expect(url.protocol).toBe('data:')
    expect(decodeURIComponent(url.href)).toContain(new URL('./some-thread.ts', import.meta.url).href)
    expect(execArgv).toEqual([])
  })

  it('names the compiled file when the parent is compiled', () => {
    expect(siblingThreadEntry('file:///dist/shared/parent.js', 'some-thread')).toEqual({
      url: new URL('file:///dist/shared/some-thread.js'),
      execArgv: [],
    })
  })
})
