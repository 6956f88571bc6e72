import { mkdtemp, rm } from 'node:fs/promises'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { expect, vi } from 'vitest'
import type { PipelineOptions } from '../kit/pipeline.ts'
import { readPrometheus } from '../kit/prometheus-text.ts'
import { PATIENT } from '../kit/wait.ts'
import { type ControlProcess, startControl } from './control-process.ts'
import { openReplayStage, type ReplayStage } from './replay-stage.ts'

/** A stage with control services on it. */
export interface ControlStage extends ReplayStage {
  /** The data folder of its control services, and of a broker of `pelton up` that a test starts. */
  readonly dataDir: string
  /** Starts a control service; ended with the stage. */
  control(env?: NodeJS.ProcessEnv): Promise<ControlProcess>
}

export async function openControlStage(options?: PipelineOptions): Promise<ControlStage> {
  const dataDir = await mkdtemp(join(tmpdir(), 'pelton-control-'))
  const stage = await openReplayStage(options)
  const controls: ControlProcess[] = []
  return {
    ...stage,
    dataDir,
    control: async (env = {}) => {
      const started = await startControl({ url: stage.broker.url, dataDir, env })
      controls.push(started)
      return started
    },
    close: async () => {
      for (const { kill } of controls) kill('SIGKILL')
      await Promise.all(controls.map(({ ended }) => ended))
      await stage.close()
      await rm(dataDir, { recursive: true, force: true })
    },
  }
}

/** When a control service looked last; empty before its first look. */
export const lookedAt = async (process: ControlProcess): Promise<string> =>
  (await process.call('GET', '/v1/watch')).json.lookedAt

/** Waits until a control service has looked for so long, by its own clock. */
export async function looksFor(process: ControlProcess, ms: number): Promise<void> {
  await vi.waitFor(async () => expect(await lookedAt(process)).not.toBe(''), PATIENT)
  const first = Date.parse(await lookedAt(process))
  await vi.waitFor(
    async () => expect(Date.parse(await lookedAt(process))).toBeGreaterThan(first + ms),
    PATIENT,
  )
}

/** Kinds of the alerts of the watch. */
export const alertKinds = async (process: ControlProcess): Promise<readonly string[]> =>
  (await process.call('GET', '/v1/watch')).json.alerts.map(({ kind }: { kind: string }) => kind)

/** What a metric of a control service says now: the sum of its series with these labels. */
export const metricOf = async (
  { call }: ControlProcess,
  name: string,
  labels: Readonly<Record<string, string>>,
): Promise<number | undefined> => readPrometheus((await call('GET', '/metrics')).text).value(name, labels)
