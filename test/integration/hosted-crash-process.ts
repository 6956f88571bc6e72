import { pino } from 'pino'
import { createHostedReplays } from '../../services/control/hosting/hosted-replays.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'

// Starts or resumes a replay as a control service does, and ends itself with SIGKILL right after the broker has stored
// the first message of a kind: `node hosted-crash-process.ts <url> <part of a subject> [<task>]`.
const [url = '', step = '', task] = process.argv.slice(2)
const connection = await connectBroker({ url, name: 'control that is killed' })
const store = openStore(connection)
const publish = store.window.publish.bind(store.window)
store.window.publish = async (message) => {
  const reply = await publish(message)
  if (message.subject.includes(step)) process.kill(process.pid, 'SIGKILL')
  return reply
}
const replays = createHostedReplays(store, pino({ level: 'silent' }), 'killed')
if (task === undefined) await replays.start({ filter: {}, options: { rate: 60, rampSeconds: 0 } }, 'ops')
else await replays.resume(task, 'ops', {})
process.exit(0)
