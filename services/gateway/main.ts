import { serve } from '../../shared/runtime/serve.ts'
import { readGatewaySettings } from './config.ts'
import { openDoor } from './http-sides.ts'
import { startGateway } from './service.ts'

const code = await serve({
  readSettings: readGatewaySettings,
  identify: (settings) => ({
    kind: 'gateway',
    name: settings.PELTON_GATEWAY_NAME,
    logLevel: settings.PELTON_LOG_LEVEL,
    graceMs: settings.PELTON_GATEWAY_GRACE_MS,
    hasHttp: settings.PELTON_HTTP_PORT !== undefined,
  }),
  open: openDoor,
  start: startGateway,
})
process.exit(code)
