import { type ChildProcess, spawn } from 'node:child_process'
import { once } from 'node:events'
import { mkdtemp, rm, writeFile } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { stringify } from 'yaml'
import { freePorts } from '../kit/ports.ts'
import { eventually } from '../kit/wait.ts'

export interface ScrapeJob {
  readonly job: string
  /** `host:port` of each target. */
  readonly targets: readonly string[]
  readonly path?: string
}

export interface Series {
  readonly metric: Readonly<Record<string, string>>
  readonly value: readonly [number, string]
}

export interface LoadedRule {
  readonly name: string
  readonly query: string
  readonly health: 'ok' | 'unknown' | 'err'
  readonly lastError?: string
}

/** A real Prometheus that scrapes every second. */
export interface PrometheusProcess {
  /** @throws Error with what Prometheus says about a query it does not take */
  query(expr: string): Promise<readonly Series[]>
  rules(): Promise<readonly LoadedRule[]>
  stop(): Promise<void>
}

export async function startPrometheus(
  binary: string,
  jobs: readonly ScrapeJob[],
  ruleFile?: string,
): Promise<PrometheusProcess> {
  const folder = await mkdtemp(join(tmpdir(), 'pelton-prometheus-'))
  await writeFile(join(folder, 'prometheus.yml'), configOf(jobs, ruleFile))
  const [port] = await freePorts(1)
  const address = `127.0.0.1:${port}`
  const child = spawn(binary, [
    `--config.file=${folder}/prometheus.yml`,
    `--storage.tsdb.path=${folder}/data`,
    `--web.listen-address=${address}`,
  ])
  const log: string[] = []
  for (const stream of [child.stdout, child.stderr]) stream.on('data', (chunk) => log.push(String(chunk)))
  const ask = async <Answer>(path: string): Promise<Answer> => {
    const response = await fetch(`http://${address}/api/v1/${path}`)
    const body = (await response.json()) as { status: string; error?: string; data: Answer }
    if (body.status !== 'success') throw new Error(`${decodeURIComponent(path)}: ${body.error}`)
    return body.data
  }
  await ready(child, address, log)
  return {
    query: async (expr) =>
      (await ask<{ result: Series[] }>(`query?query=${encodeURIComponent(expr)}`)).result,
    rules: async () =>
      (await ask<{ groups: { rules: LoadedRule[] }[] }>('rules')).groups.flatMap(({ rules }) => rules),
    async stop() {
      if (child.exitCode === null && child.signalCode === null) {
        child.kill('SIGTERM')
        await once(child, 'exit')
      }
      await rm(folder, { recursive: true, force: true })
    },
  }
}

function configOf(jobs: readonly ScrapeJob[], ruleFile: string | undefined): string {
  return stringify({
    global: { scrape_interval: '1s', evaluation_interval: '1s' },
    ...(ruleFile !== undefined && { rule_files: [ruleFile] }),
    scrape_configs: jobs.map(({ job, targets, path = '/metrics' }) => ({
      job_name: job,
      metrics_path: path,
      static_configs: [{ targets }],
    })),
  })
}

async function ready(child: ChildProcess, address: string, log: readonly string[]): Promise<void> {
  const isReady = async (): Promise<boolean> => {
    if (child.exitCode !== null) throw new Error(`prometheus ended (${child.exitCode}):\n${log.join('')}`)
    return (await fetch(`http://${address}/-/ready`).catch(() => undefined))?.status === 200
  }
  await eventually('prometheus to be ready', isReady, { seen: () => log.join('') })
}
