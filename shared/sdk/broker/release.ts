import { createHash } from 'node:crypto'
import { createWriteStream } from 'node:fs'
import { rm } from 'node:fs/promises'
import { join } from 'node:path'
import { Readable, Transform } from 'node:stream'
import { pipeline } from 'node:stream/promises'
import { runCommand } from './command.ts'
import { BROKER_PROGRAM } from './find.ts'

/** The official release Pelton downloads; the one it is tested with. */
export const RELEASE_VERSION = '2.15.1'

/** Where releases are: below it `v<version>/<asset>`. `PELTON_NATS_RELEASE_URL` names a mirror. */
export const RELEASE_BASE_URL = 'https://github.com/nats-io/nats-server/releases/download'

/** How long a server may take to begin its answer: a machine without internet must not wait. */
const CONNECT_TIMEOUT_MS = 5_000
/** How long a download may stand still. */
const STALL_TIMEOUT_MS = 30_000

const ARCHITECTURES: Readonly<Record<string, string>> = { x64: 'amd64', arm64: 'arm64' }

export interface ReleaseOptions {
  readonly env: NodeJS.ProcessEnv
  readonly baseUrl: string
  /** An empty folder of the caller's; archive and binary are written into it. */
  readonly workDir: string
  note(text: string): void
}

/** Name of the release's archive without its ending, for this machine unless told otherwise. */
export function releaseName(platform: string = process.platform, arch: string = process.arch): string {
  const architecture = ARCHITECTURES[arch]
  if (!['linux', 'darwin'].includes(platform) || architecture === undefined) {
    throw new Error(`no release is known for ${platform} on ${arch}`)
  }
  return `nats-server-v${RELEASE_VERSION}-${platform}-${architecture}`
}

/**
 * Downloads the official release, checks it against the SHA-256 sums published with it and unpacks it.
 * Throws an Error of one line when it cannot be reached, is truncated or has another sum; a file that
 * failed is removed.
 * @returns path of the unpacked binary inside `workDir`
 */
export async function downloadRelease({ env, baseUrl, workDir, note }: ReleaseOptions): Promise<string> {
  const name = releaseName()
  const folder = `${baseUrl.replace(/\/+$/, '')}/v${RELEASE_VERSION}`
  const asset = `${name}.tar.gz`
  note(`nats-server: downloading release ${RELEASE_VERSION} from ${folder}`)
  const expected = publishedSum(await fetchText(`${folder}/SHA256SUMS`), asset)
  const archive = join(workDir, asset)
  const actual = await fetchFile(`${folder}/${asset}`, archive)
  if (actual !== expected) {
    await rm(archive, { force: true })
    throw new Error(`${asset} has SHA-256 ${actual}, but ${expected} is published; the download was removed`)
  }
  await runCommand('tar', ['-xzf', archive, '-C', workDir], { env, timeoutMs: 120_000 })
  await rm(archive, { force: true })
  return join(workDir, name, BROKER_PROGRAM)
}

function publishedSum(sums: string, asset: string): string {
  for (const line of sums.split('\n')) {
    const [sum, file] = line.trim().split(/\s+\*?/)
    if (file === asset && sum !== undefined && /^[0-9a-f]{64}$/i.test(sum)) return sum.toLowerCase()
  }
  throw new Error(`SHA256SUMS has no sum for ${asset}`)
}

async function fetchText(url: string): Promise<string> {
  const { response, watch } = await open(url)
  try {
    return await response.text()
  } catch (error) {
    throw new Error(`${url} broke off: ${causeOf(error)}`, { cause: error })
  } finally {
    watch.stop()
  }
}

/** Writes the body to `path` and returns its SHA-256 in hex; removes a file that did not arrive whole. */
async function fetchFile(url: string, path: string): Promise<string> {
  const { response, watch } = await open(url)
  const hash = createHash('sha256')
  let sizeBytes = 0
  const digest = new Transform({
    transform(chunk: Buffer, _encoding, done) {
      watch.restart()
      hash.update(chunk)
      sizeBytes += chunk.byteLength
      done(null, chunk)
    },
  })
  try {
    await pipeline(Readable.fromWeb(bodyOf(response)), digest, createWriteStream(path))
  } catch (error) {
    await rm(path, { force: true })
    const announced = response.headers.get('content-length') ?? 'unknown many'
    const what = `${url} is truncated: ${sizeBytes} of ${announced} bytes came (${causeOf(error)})`
    throw new Error(what, { cause: error })
  } finally {
    watch.stop()
  }
  return hash.digest('hex')
}

/** The global fetch and node:stream/web describe the same stream with two types. */
function bodyOf(response: Response): Parameters<typeof Readable.fromWeb>[0] {
  if (response.body === null) throw new Error(`${response.url} answered without a body`)
  return response.body as Parameters<typeof Readable.fromWeb>[0]
}

async function open(url: string): Promise<{ response: Response; watch: StallWatch }> {
  const watch = createStallWatch()
  try {
    const response = await fetch(url, { redirect: 'follow', signal: watch.signal })
    if (!response.ok) {
      await response.body?.cancel()
      throw new Error(`HTTP status ${response.status}`)
    }
    watch.restart()
    return { response, watch }
  } catch (error) {
    watch.stop()
    throw new Error(`${url} cannot be fetched: ${causeOf(error)}`, { cause: error })
  }
}

interface StallWatch {
  readonly signal: AbortSignal
  /** From now on the longer limit between two chunks counts. */
  restart(): void
  stop(): void
}

function createStallWatch(): StallWatch {
  const controller = new AbortController()
  const abortAfter = (ms: number) =>
    setTimeout(() => controller.abort(new Error(`nothing came for ${ms / 1000} s`)), ms)
  let timer = abortAfter(CONNECT_TIMEOUT_MS)
  return {
    signal: controller.signal,
    restart() {
      clearTimeout(timer)
      timer = abortAfter(STALL_TIMEOUT_MS)
    },
    stop: () => clearTimeout(timer),
  }
}

/** fetch says "fetch failed" and keeps the reason one level down. */
function causeOf(error: unknown): string {
  if (!(error instanceof Error)) return String(error)
  return error.cause instanceof Error ? error.cause.message : error.message
}
