// `pelton` of a clone: installs and compiles what is needed, then runs the compiled program. Plain JavaScript with nothing
// but Node: it runs before anything is installed.
import './setup.mjs'
import { spawn } from 'node:child_process'
import { join } from 'node:path'
import { compile } from './compile.mjs'

/** How often it looks whether the one who started it is still there, milliseconds. */
const LOOK_MS = 500

function compiled() {
  try {
    return compile((text) => process.stderr.write(`${text}\n`))
  } catch (thrown) {
    process.stderr.write(
      `${thrown.message}\npelton: the sources do not compile (see above); nothing was started\n`,
    )
    process.exit(1)
  }
}

/**
 * Runs the program until it ends, and ends as it does. Ctrl-C reaches the program by itself, and npm sends it to this process
 * once more: passed on as a signal it would count twice, and force. So what this process is told goes on by closing the channel
 * between the two, as its own end does: the program drains. A shell between npm and this process may keep a signal to itself,
 * and die of it: that shows as another parent.
 */
function run(entry) {
  const child = spawn(process.execPath, [entry, ...process.argv.slice(2)], {
    stdio: ['inherit', 'inherit', 'inherit', 'ipc'],
  })
  const askToEnd = () => {
    if (child.connected) child.disconnect()
  }
  const parent = process.ppid
  const watch = setInterval(() => {
    if (process.ppid !== parent) askToEnd()
  }, LOOK_MS)
  process.on('SIGTERM', askToEnd).on('SIGINT', askToEnd)
  child.once('error', (error) => {
    process.stderr.write(`pelton: ${error.message}\n`)
    process.exit(1)
  })
  child.once('exit', (code, signal) => {
    clearInterval(watch)
    if (signal === null) process.exit(code)
    process.removeAllListeners(signal)
    process.kill(process.pid, signal)
  })
}

run(join(compiled(), 'services/cli/main.js'))
