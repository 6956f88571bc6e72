import { EXIT_CODES, runService, type State } from '../../shared/runtime/lifecycle.ts'
import { createLogger } from '../../shared/runtime/logging.ts'
import { startTelemetry } from '../../shared/runtime/telemetry.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { type ControlServiceSettings, readControlServiceSettings } from './config.ts'
import { type ControlDoor, openDoor, startControl } from './service.ts'

async function main(): Promise<number> {
  let settings: ControlServiceSettings
  try {
    settings = readControlServiceSettings(process.env)
  } catch (thrown) {
    return unusable(thrown)
  }
  const name = settings.PELTON_CONTROL_NAME
  const log = createLogger('control', settings.PELTON_LOG_LEVEL).child({ control: name })
  // Without its supervisor it drains; what it would tell it, and log, has no reader any more.
  process.on('disconnect', () => {
    log.level = 'silent'
  })
  const telemetry = await startTelemetry({
    serviceName: 'pelton-control',
    instance: name,
    env: process.env,
    hasHttp: true,
    log,
  })
  let door: ControlDoor
  try {
    door = await openDoor(settings, log, telemetry, process.env)
  } catch (thrown) {
    await telemetry.close()
    return unusable(thrown)
  }
  const onState = (state: State): void => {
    door.state = state
    if (process.connected) process.send?.({ kind: 'state', state }, undefined, undefined, () => undefined)
  }
  const options = { log, graceMs: settings.PELTON_CONTROL_GRACE_MS, onState }
  const code = await runService(() => startControl(settings, log, door, process.env), options)
  await door.close()
  await telemetry.close()
  return code
}

/** Settings that cannot be used do not get better by trying again: the supervisor is told so. */
function unusable(thrown: unknown): number {
  process.stderr.write(`${thrown instanceof PeltonError ? thrown.message : String(thrown)}\n`)
  return EXIT_CODES.usage
}

process.exit(await main())
