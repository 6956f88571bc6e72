import { readdir, readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ROOT, readAlerts } from './observability-files.ts'
import { findCommand, readCommands } from './pelton-commands.ts'

const FOLDER = `${ROOT}docs/runbooks`
const SECTIONS = ['Symptom', 'Evidence', 'Causes, in order', 'Action', 'How to know it worked']
/** The eight ways in which serving predictions fails. */
const MODES = [
  'latency-build-up',
  'overload',
  'dropped-requests',
  'silent-quality-loss',
  'unresponsive-throttling',
  'scaling-lag',
  'stale-models',
  'cascading-failure',
]
/** Pages beside the runbooks of alerts. */
const NO_ALERT = ['README.md', 'backup-restore.md']

async function pages(): Promise<readonly string[]> {
  return (await readdir(FOLDER)).filter((name) => name.endsWith('.md'))
}

async function runbooks(): Promise<readonly string[]> {
  return (await pages()).filter((name) => !NO_ALERT.includes(name))
}

const read = (page: string): Promise<string> => readFile(`${FOLDER}/${page}`, 'utf8')

test('every alert says what, how bad and what to do, and names a runbook that is there', async () => {
  const present = await pages()
  for (const { alert, labels = {}, annotations = {} } of await readAlerts()) {
    expect(['critical', 'warning'], alert).toContain(labels.severity)
    expect(annotations.summary, alert).toMatch(/\S/)
    expect(annotations.description, alert).toMatch(/\S/)
    const [, page = ''] = /^docs\/runbooks\/([a-z-]+\.md)$/.exec(annotations.runbook_url ?? '') ?? []
    expect(present, alert).toContain(page)
    expect(await read(page), `${page} does not name ${alert}`).toContain(`\`${alert}\``)
  }
})

test('each of the eight failure modes has an alert', async () => {
  const modes = new Set((await readAlerts()).map(({ labels }) => labels?.mode).filter(Boolean))
  expect([...modes].sort()).toEqual([...MODES].sort())
})

test('every runbook belongs to an alert, names no other, and stands in the index', async () => {
  const alerts = await readAlerts()
  const index = await read('README.md')
  for (const page of await runbooks()) {
    const own = alerts.filter(({ annotations }) => annotations?.runbook_url === `docs/runbooks/${page}`)
    const text = await read(page)
    const [, line = ''] = /^Alerts: (.*)$/m.exec(text) ?? []
    const named = [...line.matchAll(/`(\w+)`/g)].map(([, name]) => name)
    expect(named.sort(), page).toEqual(own.map(({ alert }) => alert).sort())
    expect(own.length, `${page} belongs to no alert`).toBeGreaterThan(0)
    expect(index, page).toContain(`](${page})`)
  }
})

test('every runbook has the five sections, in order, each with something in it', async () => {
  for (const page of await runbooks()) {
    const [, ...parts] = (await read(page)).split(/^## /m)
    expect(
      parts.map((part) => part.split('\n', 1)[0]),
      page,
    ).toEqual(SECTIONS)
    for (const part of parts) expect(part.split('\n').slice(1).join('').trim(), page).not.toBe('')
  }
})

test('links between runbooks lead somewhere', async () => {
  for (const page of await pages()) {
    for (const [, target = ''] of (await read(page)).matchAll(/\]\((?!https?:)([^)#]+)[^)]*\)/g))
      await expect(readFile(`${FOLDER}/${target}`, 'utf8'), `${page}: ${target}`).resolves.toBeTruthy()
  }
})

test('every `pelton` command of a runbook exists, with each of its options', async () => {
  const program = await readCommands()
  const used = new Set<string>()
  for (const page of await pages()) {
    for (const [, code = ''] of (await read(page)).matchAll(/`(pelton [^`]+)`/g)) {
      const words = code.split(/\s+/).slice(1)
      const { command } = findCommand(program, words)
      used.add(command.name())
      expect(command.commands, `${page}: \`${code}\` is no command`).toEqual([])
      const options = command.options.map(({ long }) => long)
      for (const word of words)
        if (word.startsWith('--')) expect(options, `${page}: \`${code}\``).toContain(word)
    }
  }
  expect(used.size).toBeGreaterThan(10)
})
