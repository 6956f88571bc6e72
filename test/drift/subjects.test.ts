import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { STORES, STREAMS } from '../../shared/sdk/contract/topology.ts'
import { ROOT } from './observability-files.ts'
import { sources } from './sources.ts'

/** The one folder that spells subjects, streams and buckets. */
const CONTRACT = 'shared/sdk/contract/'

/** Text of each string and template of a source, values in a template as `x`; comments are none. */
function literalsOf(code: string): string[] {
  const tokens = /\/\*[\s\S]*?\*\/|\/\/[^\n]*|'(?:[^'\\\n]|\\.)*'|"(?:[^"\\\n]|\\.)*"|`(?:[^`\\]|\\.)*`/g
  return [...code.matchAll(tokens)]
    .map(([token]) => token)
    .filter((token) => !token.startsWith('/'))
    .map((token) => token.slice(1, -1).replaceAll(/\$\{[^{}]*\}/g, 'x'))
}

const PART = String.raw`[^\s.]+`
/** A whole literal: a text for people that begins with one of these words has spaces. */
const SPELT = [
  String.raw`(?:features|retries|due)\.(?:>|${PART}\.${PART}\.\S+)`,
  String.raw`(?:results|deadletters)\.(?:>|${PART}\.\S+)`,
  String.raw`ledger\.\S+`,
  String.raw`\$(?:KV|O|JS\.EVENT)\.\S+`,
  '(?:(?:KV|OBJ)_)?pelton-(?:models|starts|replays|keys|requests|artifacts)',
  ...Object.values(STREAMS),
]
const speltOut = new RegExp(`^(?:${SPELT.join('|')})$`)

test('what is spelt out is told from texts, settings, paths and names', () => {
  const spelt = [
    ...[
      'features.>',
      'features.default.*.high',
      'due.p.m.low.t',
      'results.*.x',
      'deadletters.m.*',
      'ledger.*',
    ],
    ...['$KV.pelton-models.audit.floor', 'KV_pelton-replays', 'pelton-replays', 'FEATURES', '$O.a.C.>'],
  ]
  expect(spelt.filter((literal) => !speltOut.test(literal))).toEqual([])
  const others = [
    ...[
      'features.speed',
      'FEATURES is full and refuses the event',
      'results.md',
      'due.',
      'features',
      'ledger',
    ],
    ...['pelton-worker', 'ledger: gone', '$JS.API.INFO', 'features sent to due.now'],
  ]
  expect(others.filter((literal) => speltOut.test(literal))).toEqual([])
  expect(Object.values(STORES).filter((stream) => !speltOut.test(stream))).toEqual([])
})

test('a literal is found in code and not in a comment', () => {
  const code = `/** \`results.<model>.<token>\` */\nconst a = 'one' // 'two'\nconst b = \`results.*.\${token}\``
  expect(literalsOf(code)).toEqual(['one', 'results.*.x'])
})

test('no source but the contract spells a subject, a stream or a bucket: builders do', async () => {
  const files = await sources()
  const spelt: string[] = []
  let inContract = 0
  for (const file of files) {
    const found = literalsOf(await readFile(`${ROOT}${file}`, 'utf8')).filter((each) => speltOut.test(each))
    if (file.startsWith(CONTRACT)) inContract += found.length
    else spelt.push(...found.map((literal) => `${file}: ${literal}`))
  }
  expect(inContract).toBeGreaterThan(20)
  expect(spelt).toEqual([])
})
