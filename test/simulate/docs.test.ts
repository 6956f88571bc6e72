import { readdir, readFile } from 'node:fs/promises'
import { join } from 'node:path'
import { expect, it } from 'vitest'
import { HERE } from '../bench/compare/checkout.ts'
import { PLOTS, timePlots } from './docs.ts'
import { FIGURES } from './sweeps/sweeps.ts'

const REMEDY = 'run npm run simulate -- --docs'

it('docs/overload/ has the plots that the command writes, and docs/overload.md shows each of them', async () => {
  const page = await readFile(join(HERE, 'docs/overload.md'), 'utf8')
  const files = [...timePlots(), ...FIGURES.map(({ file }) => ({ file: `${file}.svg` }))].map(
    ({ file }) => file,
  )
  expect((await readdir(PLOTS)).sort(), REMEDY).toEqual(files.sort())
  for (const file of files) expect(page).toContain(`](overload/${file})`)
})

it('the plots of runs over time are those of the doors as they are', async () => {
  for (const { file, svg } of timePlots())
    expect(await readFile(join(PLOTS, file), 'utf8'), `${file}: ${REMEDY}`).toBe(svg)
})

it('the tables of docs/overload.md show what is chosen as chosen', async () => {
  const page = await readFile(join(HERE, 'docs/overload.md'), 'utf8')
  for (const { title, sweeps } of FIGURES)
    for (const { name, x, chosen } of sweeps) {
      const [, figure = ''] = page.split(`<summary>${title}, in figures</summary>`)
      const [, table = ''] = figure.split(`**${name}**`)
      const [head] = table.split('\n').filter((line) => line.startsWith(`| ${x} |`))
      expect(head, `${title}: ${name}: ${REMEDY}`).toBeDefined()
      if (chosen !== undefined) expect(head, REMEDY).toContain(`**${chosen}**`)
    }
})
