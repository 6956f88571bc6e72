import { type ChildProcess, spawn } from 'node:child_process'

export interface GuardOptions {
  readonly server: string
  readonly configPath: string
  /** Open file that takes what server and guard print. */
  readonly logFd: number
  /** Folder the guard removes once its parent is gone, and only then. */
  readonly temporaryDir?: string
  /** How long the server has between SIGTERM and SIGKILL, in tenths of a second. Default: 100. */
  readonly graceTenths?: number
}

/**
 * Runs the server as its child and holds the read end of a pipe from our process. However our process ends,
 * the system closes the pipe; the watcher then ends the server and removes the temporary folder. When the
 * server ends by itself the guard exits with its code, and with 128 + n after signal n.
 *
 * The watcher is a process of its own and reads with the shell's `read`: it outlives even a guard that was
 * killed, and nothing else is left to clean up. Descriptor 3 is needed because a shell gives background jobs
 * an empty standard input.
 */
const GUARD = `
server=$1 config=$2 temporary=$3 grace=$4
closing=
exec 3<&0 </dev/null
trap 'closing=1' USR1
trap 'kill -TERM "$broker" 2>/dev/null' TERM INT HUP
"$server" -c "$config" 3<&- &
broker=$!
(
  trap '' TERM INT HUP
  while read -r _ <&3; do :; done
  kill -USR1 $$ 2>/dev/null
  kill -TERM "$broker" 2>/dev/null
  waited=0
  while kill -0 "$broker" 2>/dev/null && [ "$waited" -lt "$grace" ]; do
    sleep 0.1
    waited=$((waited + 1))
  done
  kill -KILL "$broker" 2>/dev/null
  if [ -n "$temporary" ]; then rm -rf -- "$temporary"; fi
) &
watcher=$!
while :; do
  wait "$broker"
  code=$?
  kill -0 "$broker" 2>/dev/null || break
done
# A signal to us in the moment it ended hides its code. The shell still knows it, unless it told it above: 127.
wait "$broker" 2>/dev/null
known=$?
if [ "$known" -ne 127 ]; then code=$known; fi
if [ -z "$closing" ]; then kill -KILL "$watcher" 2>/dev/null; fi
wait "$watcher" 2>/dev/null
exit "$code"
`

/**
 * Starts the guard in a session of its own, so that Ctrl-C in a terminal does not reach the server before its
 * users are done. Closing the guard's standard input ends the server. Does not keep this process alive.
 */
export function spawnGuard(options: GuardOptions): ChildProcess {
  const { server, configPath, logFd, temporaryDir = '', graceTenths = 100 } = options
  const args = ['-c', GUARD, 'pelton-broker-guard', server, configPath, temporaryDir, String(graceTenths)]
  const guard = spawn('/bin/sh', args, { detached: true, stdio: ['pipe', logFd, logFd], cwd: '/' })
  // a guard that is gone already makes closing its input fail, and that is all it can mean
  guard.stdin?.on('error', () => {})
  guard.unref()
  return guard
}
