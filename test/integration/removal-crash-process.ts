import { removeAndRecord } from '../../shared/operations/dead-letters/removal.ts'
import { openStore } from '../../shared/operations/replay/open-store.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'

// Discards the dead letters of a model and ends itself with SIGKILL right after the broker has done the n-th step of a
// kind; with SIGSTOP it stands still there: `node removal-crash-process.ts <url> <model> <part of a subject> <n> <signal>`.
const [url = '', model = '', step = '', count = '1', how = 'SIGKILL'] = process.argv.slice(2)
const connection = await connectBroker({ url, name: 'discard that is killed' })
const store = openStore(connection)

let left = Number(count)
function after<Result>(subject: string, result: Result): Result {
  if (subject.includes(step) && --left === 0) process.kill(process.pid, how)
  return result
}
const publish = store.window.publish.bind(store.window)
store.window.publish = async (message) => after(message.subject, await publish(message))
const request = connection.request.bind(connection)
connection.request = async (subject, ...rest) => after(subject, await request(subject, ...rest))

const wanted = { outcome: 'discarded', which: [], filter: { model }, because: 'a test', by: 'ops' } as const
const run = { signal: new AbortController().signal, onHeld: () => undefined }
const code = await removeAndRecord(store, wanted, run).then(
  () => 0,
  (thrown: unknown) => {
    process.stderr.write(`${String(thrown)}\n`)
    return 1
  },
)
process.exit(code)
