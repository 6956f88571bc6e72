// Runs before the install step of any package. That of onnxruntime-node downloads CUDA libraries on some platforms; Pelton
// does not use them. Where that download cannot work, this says so in one line, and what to do about it.
import { appendFileSync, readFileSync, readlinkSync } from 'node:fs'
import { get } from 'node:https'
import { createRequire } from 'node:module'

const ANSWER_MS = 10_000

const { env } = process
const isDecided = ['ONNXRUNTIME_NODE_INSTALL', 'ONNXRUNTIME_NODE_INSTALL_CUDA'].some(
  (name) => env[name] || env[`npm_config_${name.toLowerCase()}`],
)
const index = isDecided ? undefined : downloadIndex()
if (index !== undefined) await requireAnswer(index)

/** Where onnxruntime-node would look for what it downloads here; undefined where it downloads nothing. */
function downloadIndex() {
  if (env.GLOBAL_AGENT_HTTP_PROXY || env.GLOBAL_AGENT_HTTPS_PROXY) return undefined // reached in a way of its own
  try {
    const { requirements, feeds } = createRequire(import.meta.url)(
      'onnxruntime-node/script/install-metadata.js',
    )
    const wanted = requirements[`${process.platform}/${process.arch}`] ?? []
    return wanted.length > 0 ? feeds.nuget.index : undefined
  } catch {
    return undefined // not unpacked yet, or arranged differently: its own step will tell
  }
}

async function requireAnswer(url) {
  try {
    await new Promise((resolve, reject) => {
      const request = get(url, { timeout: ANSWER_MS }, (response) => {
        response.resume()
        if (response.statusCode === 200) resolve()
        else reject(new Error(`HTTP ${response.statusCode}`))
        request.destroy()
      })
      request.on('timeout', () => request.destroy(new Error(`no answer in ${ANSWER_MS / 1000} s`)))
      request.on('error', reject)
    })
  } catch (cause) {
    const why = `${new URL(url).host} cannot be reached (${cause.code ?? cause.message})`
    const line = `pelton-server: set ONNXRUNTIME_NODE_INSTALL=skip and install again: onnxruntime-node would download CUDA libraries, which Pelton does not use, and ${why}\n`
    process.stderr.write(line)
    if (env.npm_command === 'exec') tellNpx(line)
    process.exitCode = 1
  }
}

/**
 * npx ends without a word when a step fails. So the line goes to its own standard error: that of the first process above
 * whose is another than ours. Linux, the one system that downloads, shows it in /proc.
 */
function tellNpx(line) {
  try {
    const ours = readlinkSync('/proc/self/fd/2')
    let pid = process.ppid
    while (readlinkSync(`/proc/${pid}/fd/2`) === ours) pid = parentOf(pid) // a shell in between
    appendFileSync(`/proc/${pid}/fd/2`, line)
  } catch {
    // not to be seen, or closed: npx ends with exit code 1
  }
}

/** The number behind the name, which is in brackets and may hold any, and the state. */
function parentOf(pid) {
  return Number(/\) \S (\d+)/.exec(readFileSync(`/proc/${pid}/stat`, 'utf8'))?.[1])
}
