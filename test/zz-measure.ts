import { spawnSync, spawn } from 'node:child_process'
import { startTestBroker } from '/work/main/test/kit/broker.ts'
import { startWorkerProcess } from '/work/main/test/kit/worker-process.ts'
import { PublishWindow } from '/work/main/shared/sdk/jetstream/publish-window.ts'
import { streamInfo } from '/work/main/shared/sdk/jetstream/api.ts'
const N = Number(process.argv[2] ?? 20000)
const F = JSON.stringify({ features: { origin: 'DTW', destination: 'ORD', hour: 18, weekday: 5, distance: 235, origin_delay: 12.5, inbound_delay: 9, destination_delay: 20, route_delay: 15, origin_departures: 30 } })
const broker = await startTestBroker(); const c = await broker.connect(); await broker.provision()
const worker = await startWorkerProcess({ url: broker.url, models: '/work/main/services/demo/models' })
const w = new PublishWindow(c)
await Promise.all(Array.from({ length: N }, (_x, i) => w.publish({ subject: 'features.default.flight-delay.normal', headers: [['ce-id', 'e' + i], ['ce-source', 's'], ['ce-expirytime', '2020-01-01T00:00:00Z']], body: Buffer.from(F) })))
while ((await streamInfo(c, 'DEADLETTERS'))!.state.messages < N) await new Promise((r) => setTimeout(r, 100))
console.log('dead letters ready')
const t = Date.now()
const cli = (args: string[]) => new Promise<number>((resolve) => {
  const child = spawn('/usr/bin/time', ['-v', process.execPath, '--import', 'tsx', '/work/main/services/control/cli.ts', ...args], { cwd: '/work/main', env: { ...process.env, PELTON_NATS_URL: broker.url, USER: 'ops' }, stdio: 'inherit' })
  child.on('exit', (code) => resolve(code ?? -1))
})
const p = Date.now(); console.log('count', await cli(['dead-letters', 'count']), Date.now() - p, 'ms')
const s = Date.now(); console.log('replay', await cli(['replay', 'start', '--rate', '100000', '--ramp', '0', '--in-flight', process.argv[3] ?? '512']), Date.now() - s, 'ms')
const kv = await streamInfo(c, 'KV_pelton-replays')
console.log((await streamInfo(c, 'DEADLETTERS'))!.state, (await streamInfo(c, 'FEATURES'))!.state, kv!.state)
const { readStream } = await import('/work/main/test/kit/outcomes.ts'); const letters = (await readStream(c, 'DEADLETTERS')); const by = {}; for (const l of letters) { const k = l.headers.get('x-dead-letter-reason') + ' ' + l.headers.get('x-dead-letter-description')?.slice(0, 100); by[k] = (by[k] ?? 0) + 1 }; console.log(by); console.log(worker.log.slice(-6));
worker.kill(); await worker.ended; w.close(); await broker.stop(); process.exit(0)
