/**
 * Who may take which slot. Each inference thread is one slot: a run, and one behind it. A run cannot be interrupted, so
 * what may keep a slot for long, a *patient* run, never gets the last of them: a run that is *urgent* need not wait for it.
 * Patient is what came by lane `low`, and what is of a model whose last runs were long.
 */

/** What a slot holds at most: one run under way and one behind it, so that a thread never waits for the main thread. */
export const SLOT_DEPTH = 2

/** A run that keeps its slot longer than this makes others wait, milliseconds. */
export const LONG_RUN_MS = 50

/** A slot, as the choice looks at it. */
export interface Slot {
  /** Runs it holds. */
  readonly inFlight: number
  /** Whether it holds a patient run, or one that has been under way for longer than {@link LONG_RUN_MS}. */
  readonly isHeldUp: boolean
  /** Whether it has the model open. */
  readonly isOpen: boolean
  /** How many models it has open. */
  readonly models: number
}

/**
 * The slot a run takes: the one with the least to do that it may take; among equals, one that has its model open, or else
 * the one with the fewest open, so that they fill alike. An urgent run takes none that is held up; a patient one takes none
 * if no other would be left that is not. A single slot is everybody's.
 *
 * @returns its place among `slots`; undefined while the run has to wait
 */
export function chooseSlot(slots: readonly Slot[], isUrgent: boolean): number | undefined {
  const heldUp = slots.filter(({ isHeldUp }) => isHeldUp).length
  let best: number | undefined
  let bestCost = SLOT_DEPTH
  let fewest = 0
  for (const [at, slot] of slots.entries()) {
    const isAllowed = isUrgent ? !slot.isHeldUp : slot.isHeldUp || heldUp < slots.length - 1
    const cost = slot.inFlight + (slot.isOpen ? 0 : 0.5)
    const isBetter = cost < bestCost || (cost === bestCost && slot.models < fewest)
    if ((slots.length > 1 && !isAllowed) || !isBetter) continue
    best = at
    bestCost = cost
    fewest = slot.models
  }
  return best
}

/** Batches that have a place, by who may take which slot. */
export interface Places {
  readonly slots: number
  readonly urgent: number
  readonly patient: number
}

/** Counts the batches that have a place. @param isUrgent whether a batch is that begins with this event */
export function placesOf<Event>(
  slots: number,
  running: readonly (readonly Event[])[],
  isUrgent: (first: Event) => boolean,
): Places {
  let urgent = 0
  for (const [first] of running) if (first !== undefined && isUrgent(first)) urgent++
  return { slots, urgent, patient: running.length - urgent }
}

/** Whether one more batch may have a place: two for each slot, and those of one slot are for urgent ones alone. */
export function hasPlace({ slots, urgent, patient }: Places, isUrgent: boolean): boolean {
  if (urgent + patient >= slots * SLOT_DEPTH) return false
  return isUrgent || slots === 1 || patient < (slots - 1) * SLOT_DEPTH
}

/** Threads for what is urgent, and for what is patient: one is never given to the latter, and what they keep is theirs. */
export function threadsFor({ slots, patient }: Places): {
  readonly urgent: number
  readonly patient: number
} {
  const kept = Math.min(slots - 1, Math.ceil(patient / SLOT_DEPTH))
  return { urgent: slots - kept, patient: Math.max(1, slots - 1) }
}
