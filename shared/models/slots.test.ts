import fc from 'fast-check'
import { describe, expect, it } from 'vitest'
import { Paces } from './pace.ts'
import { chooseSlot, hasPlace, LONG_RUN_MS, placesOf, SLOT_DEPTH, type Slot, threadsFor } from './slots.ts'

const slot = fc.record({
  inFlight: fc.integer({ min: 0, max: SLOT_DEPTH }),
  isHeldUp: fc.boolean(),
  isOpen: fc.boolean(),
  models: fc.nat({ max: 3 }),
})
const idle: Slot = { inFlight: 0, isHeldUp: false, isOpen: true, models: 1 }
const heldUp: Slot = { inFlight: 1, isHeldUp: true, isOpen: true, models: 1 }

describe('chooseSlot', () => {
  it('gives no urgent run a slot that is held up, and no patient run the last that is not', () => {
    fc.assert(
      fc.property(fc.array(slot, { minLength: 2, maxLength: 8 }), fc.boolean(), (slots, isUrgent) => {
        const at = chooseSlot(slots, isUrgent)
        const chosen = at === undefined ? undefined : slots[at]
        if (chosen === undefined) return
        expect(chosen.inFlight).toBeLessThan(SLOT_DEPTH)
        if (isUrgent) expect(chosen.isHeldUp).toBe(false)
        else if (!chosen.isHeldUp)
          expect(slots.some((other) => other !== chosen && !other.isHeldUp)).toBe(true)
      }),
      { examples: [[[idle, heldUp], false]] },
    )
  })

  it('keeps one slot free however many patient runs come, and uses all others', () => {
    const slots: Slot[] = [idle, idle, idle]
    for (let at = chooseSlot(slots, false); at !== undefined; at = chooseSlot(slots, false))
      slots[at] = { ...heldUp, inFlight: (slots[at] as Slot).inFlight + 1 }
    expect(slots.map(({ inFlight }) => inFlight).sort()).toEqual([0, SLOT_DEPTH, SLOT_DEPTH])
    expect(slots[chooseSlot(slots, true) as number]).toBe(idle)
  })

  it('prefers the slot with the least to do, and among equals one that has opened the model', () => {
    const busy = { ...idle, inFlight: 1 }
    expect(chooseSlot([busy, { ...idle, isOpen: false }, busy], true)).toBe(1)
    expect(chooseSlot([{ ...idle, isOpen: false }, idle], true)).toBe(1)
    expect(chooseSlot([{ ...idle, inFlight: SLOT_DEPTH }], true)).toBeUndefined()
  })

  it('prefers, where none has it open, the slot with the fewest models', () => {
    const slots = Array.from({ length: 3 }, () => ({ ...idle, isOpen: false, models: 0 }))
    for (let model = 0; model < 9; model++) {
      const at = chooseSlot(slots, true) as number
      slots[at] = { ...(slots[at] as (typeof slots)[0]), models: (slots[at]?.models ?? 0) + 1 }
    }
    expect(slots.map(({ models }) => models)).toEqual([3, 3, 3])
  })

  it('gives a single slot to everybody', () => {
    expect([chooseSlot([idle], false), chooseSlot([heldUp], true)]).toEqual([0, 0])
  })
})

describe('hasPlace', () => {
  it('keeps the places of one slot for urgent batches', () => {
    expect(hasPlace({ slots: 2, urgent: 0, patient: 2 }, false)).toBe(false)
    expect(hasPlace({ slots: 2, urgent: 1, patient: 2 }, true)).toBe(true)
    expect(hasPlace({ slots: 2, urgent: 2, patient: 2 }, true)).toBe(false)
    expect(hasPlace({ slots: 2, urgent: 3, patient: 0 }, false)).toBe(true)
    expect(hasPlace({ slots: 1, urgent: 0, patient: 1 }, false)).toBe(true)
  })
})

describe('placesOf', () => {
  it('goes by the event that a batch begins with', () => {
    const running = [['urgent', 'patient'], ['patient', 'urgent'], ['urgent']]
    const places = placesOf(2, running, (first) => first === 'urgent')
    expect(places).toEqual({ slots: 2, urgent: 2, patient: 1 })
  })
})

describe('threadsFor', () => {
  it.each([
    [1, 2, { urgent: 1, patient: 1 }],
    [2, 0, { urgent: 2, patient: 1 }],
    [2, 2, { urgent: 1, patient: 1 }],
    [4, 3, { urgent: 2, patient: 3 }],
  ])('of %i slots, with %i patient batches', (slots, patient, threads) => {
    expect(threadsFor({ slots, urgent: 1, patient })).toEqual(threads)
  })
})

describe('Paces', () => {
  it('take a model for slow after one long run, and for quick again after several short ones', () => {
    const paces = new Paces()
    expect(paces.isSlow('a')).toBe(false)
    paces.ran('a', 1, 1)
    paces.ran('a', 1, LONG_RUN_MS)
    expect(paces.isSlow('a')).toBe(false)
    paces.ran('a', 1, 10 * LONG_RUN_MS)
    expect([paces.isSlow('a'), paces.isSlow('b')]).toEqual([true, false])
    let shortRuns = 0
    for (; paces.isSlow('a'); shortRuns++) paces.ran('a', 1, 1)
    expect(shortRuns).toBeGreaterThan(5)
    expect(shortRuns).toBeLessThan(20)
  })
})
