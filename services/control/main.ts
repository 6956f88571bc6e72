import { serve } from '../../shared/runtime/serve.ts'
import { readControlServiceSettings } from './config.ts'
import { openDoor, startControl } from './service.ts'

const code = await serve({
  readSettings: readControlServiceSettings,
  identify: (settings) => ({
    kind: 'control',
    name: settings.PELTON_CONTROL_NAME,
    logLevel: settings.PELTON_LOG_LEVEL,
    graceMs: settings.PELTON_CONTROL_GRACE_MS,
    hasHttp: true,
  }),
  open: (settings, log, telemetry) => openDoor(settings, log, telemetry, process.env),
  start: (settings, log, door, stopping) => startControl(settings, log, door, process.env, stopping),
})
process.exit(code)
