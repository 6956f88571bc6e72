import fc from 'fast-check'
import { afterAll, beforeAll, expect, test } from 'vitest'
import type { Claim, KeyedRequests } from '../../services/gateway/core/keyed-request.ts'
import { Refusal } from '../../services/gateway/core/refusal.ts'
import type { Reason } from '../../shared/sdk/errors.ts'
import { keyedRequest, OTHER, openKeyedStage } from './keyed-stage.ts'

type Stage = Awaited<ReturnType<typeof openKeyedStage>>

let stage: Stage
let gateways: readonly KeyedRequests[]

beforeAll(async () => {
  stage = await openKeyedStage()
  // The third one takes over at once what has no event yet, as after a long stall of the others.
  gateways = await Promise.all([{}, {}, { adoptAfterMs: 1 }].map((options) => stage.openGateway(options)))
})

afterAll(() => stage.close())

/** One thing that happens to a key. `at` is the gateway, `which` one of the claims that were given. */
type Step =
  | {
      readonly does: 'claim'
      readonly at: number
      readonly mode: 'sync' | 'async'
      readonly isOther: boolean
    }
  | { readonly does: 'claim-together'; readonly mode: 'sync' | 'async' }
  | { readonly does: 'stored' | 'release'; readonly at: number; readonly which: number }
  | { readonly does: 'answer'; readonly reason: Reason | undefined }
  | { readonly does: 'expire' }

const at = fc.nat({ max: 2 })
const which = fc.nat({ max: 7 })
const mode = fc.constantFrom('sync', 'async')
const steps = fc.array(
  fc.oneof(
    { weight: 4, arbitrary: fc.record({ does: fc.constant('claim'), at, mode, isOther: fc.boolean() }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constant('claim-together'), mode }) },
    { weight: 3, arbitrary: fc.record({ does: fc.constantFrom('stored', 'release'), at, which }) },
    {
      weight: 3,
      arbitrary: fc.record({
        does: fc.constant('answer'),
        reason: fc.constantFrom(
          undefined,
          'shed',
          'inference-failed',
          'deadline-exceeded',
          'schema-mismatch',
        ),
      }),
    },
    { weight: 1, arbitrary: fc.record({ does: fc.constant('expire') }) },
  ) as fc.Arbitrary<Step>,
  { minLength: 4, maxLength: 14 },
)

let keys = 0

/** One key, what its claims were, and how its events were answered. */
class History {
  readonly #key = `order-${keys++}`
  readonly #given: { readonly claim: Claim; readonly isOther: boolean }[] = []
  /** Answers by attempt: whether each may be tried again. */
  readonly #passing: boolean[] = []
  /** The body of the first event that was answered, and so of all. */
  #isOther: boolean | undefined

  async take(step: Step): Promise<void> {
    if (step.does === 'claim') await this.#claim(step.at, step.mode, step.isOther)
    else if (step.does === 'claim-together')
      await Promise.all([0, 1, 2].map((gateway) => this.#claim(gateway, step.mode, false)))
    else if (step.does === 'answer') await this.#answer(step.reason)
    else if (step.does === 'expire') await stage.expire(this.#request(false))
    else await this.#tell(step)
  }

  #request(isOther: boolean, how: 'sync' | 'async' = 'sync') {
    // An event without an answer is waited for no longer than this: who joins is told so.
    const deadlineAt = Date.now() + 300
    return keyedRequest(this.#key, { mode: how, deadlineAt, ...(isOther && { body: OTHER }) })
  }

  async #claim(gateway: number, how: 'sync' | 'async', isOther: boolean): Promise<void> {
    const asked = gateways[gateway]?.claim(this.#request(isOther, how))
    const claim = await asked?.catch((thrown: unknown) => {
      if (thrown instanceof Refusal && [409, 422].includes(thrown.status)) return undefined
      throw thrown
    })
    if (claim === undefined) return
    this.#given.push({ claim, isOther })
    const attempt = Number(claim.id.slice(claim.id.lastIndexOf(':') + 1))
    const before = this.#passing.slice(0, attempt - 1)
    expect(before, `${claim.id} came before the attempts in front of it could be tried again`).toEqual(
      Array.from({ length: attempt - 1 }, () => true),
    )
    if (this.#isOther !== undefined) expect(isOther).toBe(this.#isOther)
    if (claim.kind === 'new') expect(this.#passing.length).toBe(attempt - 1)
    if (claim.kind === 'answered') expect(this.#passing[attempt - 1]).toBe(false)
  }

  /** A worker answers the event of the last attempt, where that has one. */
  async #answer(reason: Reason | undefined): Promise<void> {
    const last = this.#given.findLast(({ claim }) => claim.kind === 'new')
    if (last === undefined) return
    const attempt = Number(last.claim.id.slice(last.claim.id.lastIndexOf(':') + 1))
    if (attempt <= this.#passing.length) return // it has its one outcome
    await stage.answer(this.#request(last.isOther), last.claim.id, reason)
    this.#passing.push(reason !== undefined && reason !== 'schema-mismatch')
    this.#isOther ??= last.isOther
  }

  async #tell({
    does,
    at: gateway,
    which: index,
  }: Step & { readonly does: 'stored' | 'release' }): Promise<void> {
    const given = this.#given[index % Math.max(1, this.#given.length)]
    if (given === undefined) return
    const request = this.#request(given.isOther)
    if (does === 'stored') await gateways[gateway]?.stored(request, given.claim, index + 1)
    else await gateways[gateway]?.release(request, given.claim)
  }
}

test('a key is never two events without an answer between them that may be tried again, in whatever order', async () => {
  await fc.assert(
    fc.asyncProperty(steps, async (taken) => {
      const history = new History()
      for (const step of taken) await history.take(step)
    }),
    { numRuns: 60 },
  )
  expect(stage.problems).toEqual([])
})
