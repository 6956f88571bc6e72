import { readdir, readFile } from 'node:fs/promises'
import { fileURLToPath } from 'node:url'
import { parse } from 'yaml'

export const ROOT = fileURLToPath(new URL('../../', import.meta.url))
export const PROMETHEUS = `${ROOT}infra/observability/prometheus`
export const RULES = `${PROMETHEUS}/rules/pelton.rules.yml`
const DASHBOARD = `${ROOT}infra/observability/grafana/dashboards/pelton.json`

export interface Rule {
  readonly record?: string
  readonly alert?: string
  readonly expr: string
  /** How long before an alert fires. */
  readonly for?: string
  readonly labels?: Readonly<Record<string, string>>
  readonly annotations?: Readonly<Record<string, string>>
}

export type Alert = Rule & { readonly alert: string }

export interface RuleGroup {
  readonly name: string
  readonly rules: readonly Rule[]
}

export async function readRuleGroups(): Promise<readonly RuleGroup[]> {
  return (parse(await readFile(RULES, 'utf8')) as { groups: RuleGroup[] }).groups
}

export async function readRules(): Promise<readonly Rule[]> {
  return (await readRuleGroups()).flatMap(({ rules }) => rules)
}

export async function readAlerts(): Promise<readonly Alert[]> {
  return (await readRules()).filter((rule): rule is Alert => rule.alert !== undefined)
}

/** One case of the unit tests of the rules. */
export interface RuleCase {
  readonly file: string
  readonly name: string
  readonly input_series: readonly { readonly series: string }[]
  /** Alerts that must not fire. */
  readonly alert_rule_test?: readonly {
    readonly alertname: string
    readonly exp_alerts?: readonly unknown[]
  }[]
  readonly promql_expr_test?: readonly {
    readonly expr: string
    readonly exp_samples?: readonly { readonly labels: string }[]
  }[]
}

export async function ruleCaseFiles(): Promise<readonly string[]> {
  return (await readdir(`${PROMETHEUS}/tests`)).filter((file) => file.endsWith('.test.yml')).sort()
}

export async function readRuleCases(): Promise<readonly RuleCase[]> {
  const files = await ruleCaseFiles()
  const read = await Promise.all(
    files.map(async (file) => {
      const { tests } = parse(await readFile(`${PROMETHEUS}/tests/${file}`, 'utf8')) as { tests: RuleCase[] }
      return tests.map((each) => ({ ...each, file }))
    }),
  )
  return read.flat()
}

export interface Panel {
  readonly id: number
  readonly type: string
  readonly title: string
  readonly gridPos: { readonly h: number; readonly w: number; readonly x: number; readonly y: number }
  readonly datasource?: { readonly type: string; readonly uid: string }
  readonly targets?: readonly {
    readonly refId: string
    readonly expr: string
    readonly datasource: { readonly uid: string }
  }[]
}

export interface Dashboard {
  readonly uid: string
  readonly schemaVersion: number
  readonly panels: readonly Panel[]
  readonly templating: { readonly list: readonly { readonly name: string; readonly query: unknown }[] }
}

export async function readDashboard(): Promise<Dashboard> {
  return JSON.parse(await readFile(DASHBOARD, 'utf8')) as Dashboard
}

export interface PanelQuery {
  readonly panel: string
  readonly expr: string
}

/** Every query of the dashboard, as Grafana sends it: variables replaced, over ten seconds. */
export async function readPanelQueries(): Promise<readonly PanelQuery[]> {
  const { panels } = await readDashboard()
  return panels.flatMap(({ title, targets = [] }) =>
    targets.map(({ expr }) => ({
      panel: title,
      expr: expr.replaceAll('$__rate_interval', '10s').replaceAll('$model', '.*'),
    })),
  )
}
