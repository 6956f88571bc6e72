// Preloaded into a worker under test (`NODE_OPTIONS`): each JavaScript thread notes which one it is, because Linux shows
// every thread of Node 20 under the same name. CommonJS: nothing else is loaded into every thread of every Node.
const { appendFileSync, readlinkSync } = require('node:fs')
const { basename } = require('node:path')
const { isMainThread } = require('node:worker_threads')

function note() {
  const label = isMainThread ? 'main' : basename(process.argv[1] ?? 'thread').replace(/\.\w+$/, '')
  const [pid, , tid] = readlinkSync('/proc/thread-self').split('/')
  appendFileSync(process.env.PELTON_BENCH_THREADS, `${pid} ${tid} ${label.replaceAll(' ', '-')}\n`)
}

// A thread learns which file it runs after what is preloaded.
if (process.env.PELTON_BENCH_THREADS) setImmediate(note)
