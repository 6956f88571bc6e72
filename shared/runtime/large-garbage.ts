import { setFlagsFromString } from 'node:v8'
import { runInNewContext } from 'node:vm'

/** Bytes of large messages that pass before what they left is collected. Each is copied some six times on its way. */
const COLLECTED_EVERY_BYTES = 2 * 1024 ** 2

/**
 * Collects what large messages leave behind before V8 takes it for pressure. It counts the bytes of buffers beside its
 * heap, and answers 64 MB of them with a collection of the whole heap, a pause of 5 to 20 ms; buffers that are young
 * still go with a collection of the young objects alone, a pause of 1 to 2 ms.
 */
export class LargeGarbage {
  #collect: (() => void) | undefined
  #passed = 0

  /** @param collect collects young objects; may be slow. Default: what V8 has for it, asked for when it is first needed */
  constructor(collect?: () => void) {
    this.#collect = collect
  }

  /** A large message of so many bytes has passed, in whichever direction. */
  passed(bytes: number): void {
    this.#passed += bytes
    if (this.#passed < COLLECTED_EVERY_BYTES) return
    this.#passed = 0
    this.#collect ??= youngCollection()
    setImmediate(this.#collect)
  }
}

/** V8's own collection of young objects, which Node shows only to who asks for it. */
function youngCollection(): () => void {
  setFlagsFromString('--expose-gc')
  const collect: unknown = runInNewContext('gc')
  setFlagsFromString('--no-expose-gc')
  return typeof collect === 'function' ? () => collect({ type: 'minor' }) : () => undefined
}
