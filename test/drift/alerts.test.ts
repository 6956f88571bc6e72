import { execFile } from 'node:child_process'
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { promisify } from 'node:util'
import { describe, expect, test } from 'vitest'
import { stringify } from 'yaml'
import { findProgram } from './find-program.ts'
import {
  PROMETHEUS,
  type Rule,
  type RuleGroup,
  readAlerts,
  readRuleCases,
  readRuleGroups,
  ruleCaseFiles,
} from './observability-files.ts'

const run = promisify(execFile)
const promtool = findProgram('promtool', 'PELTON_PROMTOOL')
const path = 'path' in promtool ? promtool.path : ''
const note = 'missing' in promtool ? ` (skipped: ${promtool.missing})` : ''

async function runPromtool(...args: string[]): Promise<{ readonly failed: boolean; readonly said: string }> {
  try {
    const { stdout, stderr } = await run(path, args)
    return { failed: false, said: stdout + stderr }
  } catch (thrown) {
    const { stdout, stderr } = thrown as { stdout: string; stderr: string }
    return { failed: true, said: stdout + stderr }
  }
}

/**
 * The cases of a file, with the groups of rules they are about in place of all rules: promtool evaluates every rule it is given
 * for every minute of every case. @returns the path
 */
async function writeCases(folder: string, file: string, groups: readonly RuleGroup[]): Promise<string> {
  const cases = await readFile(`${PROMETHEUS}/tests/${file}`, 'utf8')
  const about = isAboutAll(cases) ? groups : aboutOf(cases, groups)
  expect(about, `the groups that ${file} is about`).not.toEqual([])
  await writeFile(join(folder, `${file}.rules.yml`), stringify({ groups: about }))
  const [line = ''] = /^rule_files:.*$/m.exec(cases) ?? []
  expect(line, file).toContain('pelton.rules.yml')
  await writeFile(join(folder, file), cases.replace(line, `rule_files: [${file}.rules.yml]`))
  return join(folder, file)
}

/** Whether a case asks which alerts there are, of whatever name: none, in a system that is well. */
function isAboutAll(cases: string): boolean {
  return [...cases.matchAll(/\bALERTS\{([^}]*)\}/g)].some(([, labels = '']) => !labels.includes('alertname='))
}

/** The groups whose alerts are named, and those that record what these go by. */
function aboutOf(cases: string, groups: readonly RuleGroup[]): readonly RuleGroup[] {
  const about = new Set(
    groups.filter(({ rules }) => rules.some(({ alert }) => alert !== undefined && names(cases, alert))),
  )
  // What is added on the way is looked at as well.
  for (const { rules } of about) {
    const asked = rules.map(({ expr }) => expr).join('\n')
    for (const group of groups)
      if (group.rules.some(({ record }) => record !== undefined && names(asked, record))) about.add(group)
  }
  return groups.filter((group) => about.has(group))
}

function names(text: string, name: string): boolean {
  return new RegExp(`(?<![\\w:])${name}(?![\\w:])`).test(text)
}

const wellDone = { failed: false, said: expect.stringContaining('SUCCESS') }

describe(`promtool${note}`, () => {
  test.skipIf(path === '')('takes prometheus.yml and every rule it names', async () => {
    expect(await runPromtool('check', 'config', `${PROMETHEUS}/prometheus.yml`)).toEqual(wellDone)
  })

  test.skipIf(path === '')('finds each alert firing and silent where its cases say so', async () => {
    const folder = await mkdtemp(join(tmpdir(), 'pelton-rules-'))
    try {
      const groups = await readRuleGroups()
      const files: string[] = []
      for (const file of await ruleCaseFiles()) files.push(await writeCases(folder, file, groups))
      expect(await runPromtool('test', 'rules', ...files)).toEqual(wellDone)
    } finally {
      await rm(folder, { recursive: true, force: true })
    }
  })

  test.skipIf(path === '').each(['streams.test.yml', 'healthy.test.yml'])(
    'fails when a threshold is turned round: the cases of %s can fail',
    async (file) => {
      const folder = await mkdtemp(join(tmpdir(), 'pelton-rules-'))
      try {
        const turned = (rule: Rule): Rule =>
          rule.alert === 'PeltonOrphans' ? { ...rule, expr: 'vector(0) == 0', for: '0s' } : rule
        const groups = (await readRuleGroups()).map((group) => ({
          ...group,
          rules: group.rules.map(turned),
        }))
        const { failed, said } = await runPromtool('test', 'rules', await writeCases(folder, file, groups))
        expect({ failed, said }).toEqual({ failed: true, said: expect.stringContaining('PeltonOrphans') })
      } finally {
        await rm(folder, { recursive: true, force: true })
      }
    },
  )
})

test('every alert has a case in which it fires, with the labels its text speaks of, and one of silence', async () => {
  const cases = await readRuleCases()
  for (const { alert, annotations = {} } of await readAlerts()) {
    const fires = cases.flatMap(({ promql_expr_test: tests = [] }) =>
      tests
        .filter(({ expr }) => expr.includes(`alertname="${alert}"`))
        .flatMap((each) => each.exp_samples ?? []),
    )
    expect(fires.length, `${alert} fires nowhere`).toBeGreaterThan(0)
    const silent = cases.flatMap(({ alert_rule_test: tests = [] }) =>
      tests.filter(({ alertname, exp_alerts = [] }) => alertname === alert && exp_alerts.length === 0),
    )
    expect(silent.length, `${alert} is silent nowhere`).toBeGreaterThan(0)
    const given = new Set(
      fires.flatMap(({ labels }) => [...labels.matchAll(/(\w+)=/g)].map(([, label]) => label)),
    )
    const used = Object.values(annotations).flatMap((text) =>
      [...text.matchAll(/\$labels\.(\w+)/g)].map(([, label]) => label),
    )
    expect([...given], `labels in the text of ${alert}`).toEqual(expect.arrayContaining(used))
  }
})
