import { openKeyedRequests } from '../../services/gateway/core/keyed-requests.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'

// Claims a key as a gateway does, and is killed before it publishes: `node gateway-claim-process.ts <url> <key> <data>`.
const [url = '', key = '', data = ''] = process.argv.slice(2)
const { PELTON_PREFIX: prefix } = process.env
const connection = await connectBroker({ url, name: 'gateway that is killed', ...(prefix && { prefix }) })
const claim = await openKeyedRequests(connection).claim({
  source: 'test',
  model: 'flight-delay',
  key,
  data: Buffer.from(data),
  contentType: 'application/json',
  deadlineAt: Date.now() + 60_000,
  mode: 'sync',
})
process.stdout.write(`${JSON.stringify(claim)}\n`, () => process.kill(process.pid, 'SIGKILL'))
