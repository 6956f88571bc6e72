import { openStore } from '../../shared/operations/replay/open-store.ts'
import { start } from '../../shared/operations/replay/replays.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { onAccountTrouble } from './account-trouble.ts'

// Runs a replay as the command line does, without patience, and says when its account cannot be kept. It ends when
// nothing is left to do, as the command line does: `node replay-outage-process.ts <url of the broker> <url of the proxy before it>`.
const [, url = ''] = process.argv.slice(2)
const connection = await connectBroker({ url, name: 'replay without patience' })
const store = openStore(connection, { patienceMs: 0 })
onAccountTrouble(store, () => process.stdout.write('lost\n'))
const options = { rate: 60, rampSeconds: 0 }
const run = { by: 'ops', signal: new AbortController().signal }
try {
  const { running } = await start(store, { filter: {}, options }, run)
  await running?.ended
} catch {
  process.exitCode = 1
} finally {
  store.close()
  await connection.close()
}
