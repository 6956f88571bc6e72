import type { Readable } from 'node:stream'
import { setTimeout as sleep } from 'node:timers/promises'
import { PeltonError } from '../../../shared/sdk/errors.ts'

export interface BodyBounds {
  /** What one request may bring. */
  readonly mostBytes: number
  /** How long it may bring nothing while it is waited for. */
  readonly idleMs: number
}

/** How a client that stalls is told apart: the answer is a 408, and ends the connection. */
export class StalledBody extends PeltonError {
  constructor(idleMs: number) {
    super('timeout', `the request brought nothing for ${idleMs} ms`)
  }
}

/**
 * A body as it comes, for as long as it comes: a large import takes as long as the broker does. Where it is not read to
 * its end, the rest is thrown away, so that the client gets to read the answer.
 *
 * @throws PeltonError `too-large`; {@link StalledBody}
 */
export async function* boundedBody(body: Readable, bounds: BodyBounds): AsyncGenerator<Buffer> {
  const { mostBytes, idleMs } = bounds
  // Ended early, it would take the connection with it, and the answer.
  const chunks: AsyncIterator<Buffer> = body.iterator({ destroyOnReturn: false })
  let bytes = 0
  let isStalled = false
  try {
    for (;;) {
      const next = await nextWithin(chunks, idleMs)
      isStalled = next === undefined
      if (next === undefined) throw new StalledBody(idleMs)
      if (next.done === true) return
      bytes += next.value.length
      if (bytes > mostBytes) throw tooMuch(mostBytes)
      yield next.value
    }
  } finally {
    if (!isStalled) await chunks.return?.() // of one that stalls, nothing more is asked
    body.resume()
  }
}

async function nextWithin(
  chunks: AsyncIterator<Buffer>,
  idleMs: number,
): Promise<IteratorResult<Buffer> | undefined> {
  const came = new AbortController()
  const overdue = sleep(idleMs, undefined, { signal: came.signal }).catch(() => undefined)
  return Promise.race([chunks.next(), overdue]).finally(() => came.abort())
}

function tooMuch(mostBytes: number): PeltonError {
  return new PeltonError('too-large', `an import by HTTP has ${mostBytes / 1024 ** 3} GiB at most`, {
    remedy: 'Send it in several parts: what is stored stays as it is.',
  })
}
