import type { Logger } from 'pino'
import type { GrowingRepository } from '../../shared/models/growing-repository.ts'
import type { PoolModels } from '../../shared/operations/models/pool-models.ts'
import { type BrokerReach, followBroker } from '../../shared/runtime/broker-reach.ts'
import { securityOptions } from '../../shared/runtime/config.ts'
import type { Health, HttpSide } from '../../shared/runtime/http.ts'
import type { State } from '../../shared/runtime/lifecycle.ts'
import { measureProcess } from '../../shared/runtime/process-metrics.ts'
import type { Telemetry } from '../../shared/runtime/telemetry.ts'
import { readExpiries } from '../../shared/sdk/jetstream/expiry.ts'
import { namesOf } from '../../shared/sdk/jetstream/names-of.ts'
import type { BrokerSide } from './broker-side.ts'
import type { WorkerSettings } from './config.ts'
import type { Observers } from './observe/interceptors.ts'
import { inspectingReason, notesOn, reasonsAgainst } from './observe/readiness.ts'
import { openWorkerGauges } from './observe/worker-gauges.ts'
import { WorkerMetrics } from './observe/worker-metrics.ts'
import { createWorkerTraces } from './observe/worker-traces.ts'
import type { Servability } from './servability.ts'
import type { Worker } from './worker.ts'

/** Where the outside looks into a worker: health, metrics, traces. */
export interface WorkerOutside {
  /** Where the worker is in its life. */
  state: State
  /** What measures and traces the worker; nothing where nobody looks. */
  observers(broker: BrokerSide, models: Servability): Observers
  /** Until the worker itself can be seen: how many of its models are ready. */
  inspecting(models: Pick<GrowingRepository, 'progress'>): void
  /** From here on the worker itself can be seen. */
  show(worker: Worker, broker: BrokerSide, models: Servability, pool: PoolModels): void
  /** Sends the metrics as they are. */
  flush(): Promise<void>
  close(): Promise<void>
}

/** Opens the HTTP port, if there is one. @throws PeltonError `invalid-configuration` when it cannot be had */
export async function openOutside(
  settings: WorkerSettings,
  log: Logger,
  telemetry: Telemetry,
): Promise<WorkerOutside> {
  let reasons: () => readonly string[] = () => []
  let notes: () => readonly string[] = () => []
  let reach: BrokerReach | undefined
  let metrics: WorkerMetrics | undefined
  let http: HttpSide | undefined
  const outside: WorkerOutside = {
    state: 'starting',
    observers(broker, models) {
      reach = followBroker(broker.connection)
      metrics = telemetry.hasMetrics ? new WorkerMetrics({ models, now: broker.now }) : undefined
      return { metrics, traces: telemetry.hasTraces ? createWorkerTraces(models) : undefined }
    },
    inspecting(models) {
      reasons = () => [inspectingReason(models.progress)]
    },
    show(worker, { connection, skewMs }, models, pool) {
      if (metrics !== undefined) openWorkerGauges({ worker, models, pool, skewMs })
      reasons = () =>
        reasonsAgainst({
          isBrokerReachable: reach?.isReachable === true,
          whyAway: reach?.whyAway,
          models: models.models.length,
          ...{ refusing: worker.refusing, ledgerStops: worker.ledgerStops },
          skewMs: skewMs(),
          names: namesOf(connection),
        })
      notes = () => notesOn(worker.unserved)
    },
    flush: telemetry.flush,
    close: async () => http?.close(),
  }
  if (telemetry.hasMetrics) {
    const isBrokerReachable = (): boolean => reach?.isReachable === true
    measureProcess('worker', {
      state: () => outside.state,
      reasons: () => reasons(),
      isBrokerReachable,
      expiries: () => readExpiries(securityOptions(settings)),
    })
  }
  const { scrape } = telemetry
  http = await listen(settings, log, {
    state: () => outside.state,
    reasons: () => reasons(),
    notes: () => notes(),
    ...(scrape !== undefined && { metrics: scrape }),
  })
  return outside
}

/** Undefined where there is to be no port. */
async function listen(
  { PELTON_HTTP_HOST: host, PELTON_HTTP_PORT: port }: WorkerSettings,
  log: Logger,
  routes: Health,
): Promise<HttpSide | undefined> {
  if (port === undefined) return undefined
  // Loaded only where it is needed.
  const { addHealthRoutes, openHttp } = await import('../../shared/runtime/http.ts')
  const http = openHttp({ host, port, log })
  addHealthRoutes(http.app, routes)
  await http.listen()
  return http
}
