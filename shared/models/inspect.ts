import type { ChildProcess } from 'node:child_process'
import { PeltonError } from '../sdk/errors.ts'
import type { Inspection, InspectionRequest } from './inspect-model.ts'
import type { FromInspector, ToInspector } from './inspector-messages.ts'
import { startModelProcess } from './model-process.ts'
import { seeModels } from './models-page.ts'
import { readResidentBytes } from './process-memory.ts'
import { parseSignature } from './signature.ts'
import { fromErrorMessage } from './thread-messages.ts'
import type { GatheredVersion, GatherRequest } from './version-files.ts'

export type { Inspection, InspectionRequest } from './inspect-model.ts'

export interface InspectorOptions {
  /** How long reading, loading and trying one model may take. @default 20000 */
  readonly timeLimitMs?: number
  /** Resident memory the process may have meanwhile; a model takes two to three times its file. @default 2 GiB */
  readonly memoryLimitBytes?: number
}

/**
 * Looks at models in a process of its own, because a hostile or broken graph can loop for ever, crash the process or
 * take all memory, and only killing a process ends that.
 */
export interface Inspector {
  /**
   * Inspects one model; a second call waits for the first. Rejects with `model-refused` or `invalid-configuration` and
   * the reason, and with `model-unavailable` where time, memory or the file was missing or the process crashed: that may
   * be otherwise the next time. The next call starts another process.
   */
  inspect(request: InspectionRequest): Promise<Inspection>
  /**
   * Checks, copies and digests the files of one version, there too: a large file is read by nobody else. Rejects as
   * {@link gatherVersion}.
   */
  gather(request: GatherRequest): Promise<GatheredVersion>
  /** Kills the process, whatever it does. May be called twice. */
  close(): Promise<void>
}

const START_LIMIT_MS = 60_000
/** Copying and reading gigabytes takes minutes. */
const GATHER_LIMIT_MS = 15 * 60_000
const MEMORY_CHECK_MS = 50
const DEFAULT_MEMORY_BYTES = 2 * 2 ** 30

/** A child that takes requests one at a time. */
interface Child {
  /** The answer to a request, or to the start when there is none. Rejects when the process ends first. */
  ask(asked: ToInspector | undefined, limits: Required<InspectorOptions>): Promise<FromInspector>
  kill(): Promise<void>
  readonly isAlive: boolean
  /** Has it load what tries models; resolves once that is loaded. May be called again. */
  prepare(limits: Required<InspectorOptions>): Promise<unknown>
}

/** An inspector; its process starts with the first model. */
export function createInspector(options: InspectorOptions = {}): Inspector {
  const limits = { timeLimitMs: 20_000, memoryLimitBytes: DEFAULT_MEMORY_BYTES, ...options }
  const starting = { ...limits, timeLimitMs: START_LIMIT_MS }
  let child: Child | undefined
  let last: Promise<unknown> = Promise.resolve()
  let isClosed = false

  async function askNow(asked: ToInspector, limited: Required<InspectorOptions>): Promise<FromInspector> {
    if (isClosed) throw new PeltonError('closed', 'the inspector is closed')
    if (child?.isAlive !== true) {
      child = startChild()
      await child.ask(undefined, starting)
    }
    // Loading what tries models is no time of the first of them.
    if (asked.kind === 'inspect') await child.prepare(starting)
    const answer = await child.ask(asked, limited)
    if (answer.kind === 'refused') throw fromErrorMessage(answer.error)
    return answer
  }

  /** One after the other. */
  function inTurn<Result>(act: () => Promise<Result>): Promise<Result> {
    const result = last.then(act)
    last = result.catch(() => undefined)
    return result
  }

  return {
    inspect: (request) =>
      inTurn(async () => {
        const answer = await askNow({ kind: 'inspect', request }, limits)
        if (answer.kind !== 'inspected') throw crashed('it answered out of turn')
        return { ...answer.inspection, signature: parseSignature(answer.inspection.signature) }
      }),
    gather: (request) =>
      inTurn(async () => {
        const answer = await askNow({ kind: 'gather', request }, { ...limits, timeLimitMs: GATHER_LIMIT_MS })
        if (answer.kind !== 'gathered') throw crashed('it answered out of turn')
        return answer.version
      }),
    async close() {
      isClosed = true
      await child?.kill()
    },
  }
}

function startChild(): Child {
  const process_ = startModelProcess(import.meta.url, 'inspect-process')
  let isAlive = true
  const ended = new Promise<string>((resolve) => {
    process_.once('error', (thrown) => resolve(thrown.message))
    process_.once('exit', (code, signal) => resolve(signal ?? `exit code ${code}`))
  }).finally(() => {
    isAlive = false
  })
  let prepared: Promise<unknown> | undefined
  return {
    ask: (asked, limits) => ask(process_, ended, asked, limits),
    prepare: (limits) => {
      prepared ??= ask(process_, ended, { kind: 'prepare' }, limits)
      return prepared
    },
    async kill() {
      process_.kill('SIGKILL')
      await ended
    },
    get isAlive() {
      return isAlive
    },
  }
}

async function ask(
  child: ChildProcess,
  ended: Promise<string>,
  asked: ToInspector | undefined,
  limits: Required<InspectorOptions>,
): Promise<FromInspector> {
  let verdict: PeltonError | undefined
  const end = (reason: PeltonError): void => {
    verdict ??= reason
    child.kill('SIGKILL')
  }
  const timer = setTimeout(() => end(tooSlow(limits.timeLimitMs)), limits.timeLimitMs)
  const stopWatching = watchMemory(child.pid, limits.memoryLimitBytes, () =>
    end(tooLarge(limits.memoryLimitBytes)),
  )
  let onMessage: ((message: FromInspector) => void) | undefined
  try {
    const answered = new Promise<FromInspector>((resolve) => {
      onMessage = resolve
      child.once('message', resolve)
    })
    if (asked !== undefined) child.send(asked, () => undefined) // an ended child is seen below
    const failed = ended.then((how) => {
      throw verdict ?? crashed(how)
    })
    return await Promise.race([answered, failed])
  } finally {
    clearTimeout(timer)
    stopWatching()
    if (onMessage !== undefined) child.off('message', onMessage)
  }
}

/** Looks at the memory of a process until told to stop; a look begins when the one before has ended. */
function watchMemory(pid: number | undefined, limitBytes: number, onExcess: () => void): () => void {
  let timer: NodeJS.Timeout | undefined
  let isStopped = pid === undefined
  const look = async (): Promise<void> => {
    const resident = pid === undefined ? undefined : await readResidentBytes(pid)
    if (isStopped) return
    if (resident !== undefined && resident > limitBytes) onExcess()
    else next()
  }
  const next = (): void => {
    timer = setTimeout(() => void look(), MEMORY_CHECK_MS)
  }
  if (!isStopped) next()
  return () => {
    isStopped = true
    clearTimeout(timer)
  }
}

function tooSlow(limitMs: number): PeltonError {
  return new PeltonError('model-unavailable', 'loading and trying the model did not end in time', {
    field: 'PELTON_INSPECT_MS',
    value: String(limitMs),
    remedy: `Check the model for a loop without end, or allow it more time. ${seeModels('what-is-refused')}`,
  })
}

function tooLarge(limitBytes: number): PeltonError {
  return new PeltonError('model-unavailable', 'loading and trying the model took too much memory', {
    field: 'PELTON_INSPECT_BYTES',
    value: String(limitBytes),
    remedy: `Make the model smaller, or allow it more memory. ${seeModels('what-is-refused')}`,
  })
}

function crashed(how: string): PeltonError {
  return new PeltonError('model-unavailable', 'the process that loads and tries the model ended', {
    field: 'inspector',
    value: how,
    remedy: `The model may crash the runtime; export it again, with another opset. ${seeModels('exporting')}`,
  })
}
