import type { NatsConnection } from '@nats-io/transport-node'
import type { Logger } from 'pino'
import { brokerDataDir, readOperatorSettings } from '../../shared/operations/broker/operator-settings.ts'
import { readMonitorUrls } from '../../shared/operations/broker/running-broker.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { keepMarks } from '../../shared/operations/watch-record/keep-marks.ts'
import {
  type BrokerReach,
  closedForGood,
  followBroker,
  leaveBroker,
  noConnection,
  tellTrouble,
  unlessAway,
} from '../../shared/runtime/broker-reach.ts'
import { brokerOptions, securityOptions } from '../../shared/runtime/config.ts'
import { hostCheck } from '../../shared/runtime/host-names.ts'
import { addHealthRoutes, openHttp } from '../../shared/runtime/http.ts'
import type { Service, State } from '../../shared/runtime/lifecycle.ts'
import { addOpenApi } from '../../shared/runtime/openapi-routes.ts'
import { packageVersion } from '../../shared/runtime/package-version.ts'
import { measureProcess } from '../../shared/runtime/process-metrics.ts'
import type { Readiness } from '../../shared/runtime/readiness.ts'
import { waitingFor } from '../../shared/runtime/start-waiting.ts'
import type { Telemetry } from '../../shared/runtime/telemetry.ts'
import { namedError } from '../../shared/sdk/contract/named-error.ts'
import { createNames } from '../../shared/sdk/contract/names.ts'
import { STREAMS } from '../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { patientApi } from '../../shared/sdk/jetstream/api.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { readExpiries } from '../../shared/sdk/jetstream/expiry.ts'
import { requireStreams } from '../../shared/sdk/jetstream/provision.ts'
import { explained } from '../../shared/sdk/jetstream/provision-refusal.ts'
import type { ControlServiceSettings } from './config.ts'
import { openControlGauges } from './figures/control-gauges.ts'
import { speakOfFlow } from './flow/voice.ts'
import { auditRegularly } from './hosting/audit-schedule.ts'
import { createAudits, createSnapshots } from './hosting/audits.ts'
import { createHostedReplays, type HostedReplays } from './hosting/hosted-replays.ts'
import { KeptCounts } from './hosting/kept-counts.ts'
import { addApi } from './http/api.ts'
import { addHostCheck, refuseOpenDoor } from './http/guard.ts'
import type { ApiParts } from './http/parts.ts'
import { openTokens } from './http/token.ts'
import { startWatch, type WatchOptions } from './watch/watch.ts'

/** The HTTP side of the control service: open before the broker is asked, and until everything is paused. */
export interface ControlDoor {
  state: State
  /** From here on the API answers. */
  parts: ApiParts | undefined
  /** Undefined before there was a connection. */
  reach: BrokerReach | undefined
  readonly address: string
  /** Where the generated token lies; undefined when the settings gave one. */
  readonly tokenFile: string | undefined
  close(): Promise<void>
}

/** @throws PeltonError `invalid-configuration` for a port, token or address that cannot be used */
export async function openDoor(
  settings: ControlServiceSettings,
  log: Logger,
  telemetry: Telemetry,
  env: NodeJS.ProcessEnv,
): Promise<ControlDoor> {
  const { PELTON_CONTROL_HOST: host, PELTON_CONTROL_PORT: port, PELTON_CONTROL_TOKEN: token } = settings
  refuseOpenDoor(host, token)
  const tokens = await openTokens(token, brokerDataDir(env))
  const names = createNames(settings.PELTON_PREFIX)
  const http = openHttp({ host, port, log, explain: (thrown) => namedError(names, explained(thrown)) })
  const door = {
    state: 'starting' as State,
    parts: undefined as ApiParts | undefined,
    reach: undefined as BrokerReach | undefined,
    address: '',
    tokenFile: tokens.file,
    close: http.close,
  }
  const isBrokerReachable = (): boolean => door.reach?.isReachable === true
  addHostCheck(http.app, hostCheck(host, settings.PELTON_CONTROL_ALLOWED_HOSTS))
  const readiness: Readiness = {
    state: () => door.state,
    reasons: () => (isBrokerReachable() ? [] : [noConnection(door.reach)]),
  }
  addHealthRoutes(http.app, {
    ...readiness,
    ...(telemetry.scrape !== undefined && { metrics: telemetry.scrape }),
  })
  addOpenApi(http.app, async () => {
    const { describeControl } = await import('./openapi/document.ts')
    return describeControl(packageVersion(import.meta.url))
  })
  addApi(http.app, tokens, () => (isBrokerReachable() && door.parts) || unreachable())
  door.address = await http.listen().catch((cause: unknown) => {
    throw cannotListen(host, port, cause)
  })
  const expiries = () => readExpiries(securityOptions(settings))
  if (telemetry.hasMetrics) measureProcess('control', { ...readiness, isBrokerReachable, expiries })
  return door
}

/** Said at once: what asks the broker would wait for it a minute. */
function unreachable(): never {
  throw new PeltonError('broker-unavailable', 'the control service has no connection to the broker', {
    remedy: 'Ask again in a moment; /readyz says when it is ready.',
  })
}

function cannotListen(host: string, port: number, cause: unknown): PeltonError {
  return new PeltonError(
    'invalid-configuration',
    'the port of the control service cannot be opened',
    {
      field: 'PELTON_CONTROL_HOST, PELTON_CONTROL_PORT',
      value: `${host}, ${port}`,
      remedy: 'Choose another port; 0 takes any that is free. Perhaps a control service runs already.',
    },
    cause,
  )
}

/**
 * Connects, watches, and goes on with the replays of a control service that ended.
 *
 * @param aborted ends the wait for a broker that elects a leader: its reason is thrown
 */
export async function startControl(
  settings: ControlServiceSettings,
  log: Logger,
  door: ControlDoor,
  env: NodeJS.ProcessEnv,
  aborted: AbortSignal,
): Promise<Service> {
  const connection = await openConnection(settings, log, aborted)
  const reach = followBroker(connection)
  door.reach = reach
  const stopping = new AbortController()
  const store = openStore(connection)
  const name = settings.PELTON_CONTROL_NAME
  const operator = readOperatorSettings(env)
  const watch = startWatch({ store, log }, watchOptions(settings, operator.PELTON_RESEND_HORIZON_MS))
  const voice = speakOfFlow(
    { connection, watch, reach, log },
    { name, resendMs: operator.PELTON_RESEND_HORIZON_MS },
  )
  const replays = createHostedReplays(store, log, name)
  const adopter = adoptRegularly(replays, settings.PELTON_WATCH_MS, log)
  const { PELTON_DURABILITY: durability, PELTON_MARKS_FOLDER: marksFolder } = operator
  const monitorUrls = () => readMonitorUrls(settings.PELTON_NATS_URL, env)
  const marks = openMarks({ connection, log }, marksFolder, settings.PELTON_WATCH_MS)
  const outside = async () => ({ marksFolder, monitorUrls: await monitorUrls() })
  const audits = createAudits(connection, stopping.signal, outside)
  const everyMs = settings.PELTON_AUDIT_EVERY_MS
  const auditor = auditRegularly({ audits, watch, log, reach }, { everyMs, signal: stopping.signal })
  const snapshots = createSnapshots(connection)
  const counts = new KeptCounts(connection)
  door.parts = { store, counts, watch, replays, audits, snapshots, log, signal: stopping.signal }
  const isReachable = (): boolean => reach.isReachable
  openControlGauges({ store, isReachable, watch, voice, replays, audits, durability, monitorUrls })
  log.info(
    { address: door.address, ...(door.tokenFile !== undefined && { tokenFile: door.tokenFile }) },
    'serving',
  )
  return {
    run: () => closedForGood(connection),
    stop: async () => {
      stopping.abort()
      clearInterval(adopter)
      auditor.stop()
      await unlessAway(reach, Promise.all([replays.drain(), voice.stop(), watch.stop(), marks?.stop()]))
      store.close()
      await leaveBroker(connection)
    },
    abort: () => undefined,
  }
}

/** Waits for an election to end, and until every stream is there. */
async function openConnection(
  settings: ControlServiceSettings,
  log: Logger,
  aborted: AbortSignal,
): Promise<NatsConnection> {
  const waiting = waitingFor(log, aborted)
  const onTrouble = tellTrouble(log)
  const connection = await connectBroker({
    ...brokerOptions(settings, 'pelton control'),
    ...waiting,
    onTrouble,
  })
  await patientApi(() => requireStreams(connection, Object.values(STREAMS)), waiting)
  return connection
}

function watchOptions(settings: ControlServiceSettings, resendMs: number): WatchOptions {
  return {
    name: settings.PELTON_CONTROL_NAME,
    everyMs: settings.PELTON_WATCH_MS,
    unservedMs: settings.PELTON_UNSERVED_MS,
    noticeGraceMs: settings.PELTON_NOTICE_GRACE_MS,
    resendMs,
    expiries: () => readExpiries(securityOptions(settings)),
  }
}

/** Durable marks are everybody's: each control service has a disk of its own, also one that does not watch. */
function openMarks(
  { connection, log }: { readonly connection: NatsConnection; readonly log: Logger },
  folder: string | undefined,
  everyMs: number,
): { stop(): Promise<void> } | undefined {
  if (folder === undefined) {
    log.warn(
      'PELTON_MARKS_FOLDER is not set: events that a loss of power takes with their records leave no trace',
    )
    return undefined
  }
  return keepMarks({
    ...{ connection, folder, everyMs },
    onTrouble: (thrown) => log.warn({ err: thrown, folder }, 'durable marks cannot be written; tried again'),
    onWritten: () => log.info({ folder }, 'durable marks are written again'),
  })
}

function adoptRegularly(replays: HostedReplays, everyMs: number, log: Logger): NodeJS.Timeout {
  const adopt = (): void => {
    replays.adopt().catch((error: unknown) => log.warn({ err: error }, 'replays could not be taken over'))
  }
  adopt()
  return setInterval(adopt, everyMs)
}
