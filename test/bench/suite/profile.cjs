// Preloaded into a worker: a profile of its main thread between two signals, as V8's sampler sees it.
// CommonJS, as thread-name.cjs. Written into `$PELTON_BENCH_PROFILE`, whole at once.
const { renameSync, writeFileSync } = require('node:fs')
const { Session } = require('node:inspector')
const { isMainThread } = require('node:worker_threads')

const EVERY_US = 200

function profileBetweenSignals(file) {
  const session = new Session()
  session.connect()
  const post = (method, parameters, then = () => undefined) =>
    session.post(method, parameters, (error, answer) => {
      if (error) throw new Error(`${method}: ${error.message}`)
      then(answer)
    })
  let isOn = false
  process.on('SIGUSR2', () => {
    if (!isOn) {
      post('Profiler.enable', {})
      post('Profiler.setSamplingInterval', { interval: EVERY_US })
      post('Profiler.start', {})
    } else
      post('Profiler.stop', {}, ({ profile }) => {
        writeFileSync(`${file}.part`, JSON.stringify(profile))
        renameSync(`${file}.part`, file)
      })
    isOn = !isOn
  })
}

if (isMainThread && process.env.PELTON_BENCH_PROFILE) profileBetweenSignals(process.env.PELTON_BENCH_PROFILE)
