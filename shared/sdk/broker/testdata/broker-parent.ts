/** A process that starts a broker, says where it is and then waits to be killed. */
import { startBroker } from '../server.ts'

const broker = await startBroker()
process.stdout.write(`${JSON.stringify({ pid: broker.pid, dataDir: broker.dataDir, port: broker.port })}\n`)
// the broker alone does not keep a process alive
setInterval(() => {}, 60_000)
