import { createHolds } from '../../shared/operations/records/holds.ts'
import { openKeyValue } from '../../shared/operations/records/key-value.ts'
import { runReplay } from '../../shared/operations/replay/runner.ts'
import { readTask } from '../../shared/operations/replay/task.ts'
import { connectBroker } from '../../shared/sdk/jetstream/connect.ts'
import { PublishWindow } from '../../shared/sdk/jetstream/publish-window.ts'

// Runs a replay and ends itself with SIGKILL right after the broker has done the n-th step of a kind:
// `node replay-crash-process.ts <url> <task> <part of a subject> <n>`.
const [url = '', id = '', step = '', count = '1'] = process.argv.slice(2)
const connection = await connectBroker({ url, name: 'replay that is killed' })
const window = new PublishWindow(connection)
const keyValue = openKeyValue(connection, window)

let left = Number(count)
function after<Result>(subject: string, result: Result): Result {
  if (subject.includes(step) && --left === 0) process.kill(process.pid, 'SIGKILL')
  return result
}
const publish = window.publish.bind(window)
window.publish = async (message) => after(message.subject, await publish(message))
const request = connection.request.bind(connection)
connection.request = async (subject, ...rest) => after(subject, await request(subject, ...rest))

await runReplay(
  {
    connection,
    window,
    keyValue,
    holds: createHolds(keyValue),
    now: () => new Date(),
    signal: new AbortController().signal,
    onProgress: () => undefined,
  },
  await readTask(keyValue, id),
)
process.exit(0)
