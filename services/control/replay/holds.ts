import type { KeptValue, KeyValue } from './key-value.ts'

/**
 * Who works on a dead letter. It covers the one dead letter of its sequence: when the event has failed again, its new
 * dead letter is nobody's.
 */
export interface Hold {
  /** A replay task, or an act of discarding or purging. */
  readonly by: { readonly kind: 'replay' | 'discard' | 'purge'; readonly id: string; readonly who: string }
  /** Of the dead letter in DEADLETTERS. */
  readonly sequence: number
  /** For a replay: what is needed to find out, after a crash, what became of it. */
  readonly sent?: SentReplay
}

export interface SentReplay {
  readonly model: string
  readonly pool: string
  /** `Pelton-Origin` of the event. */
  readonly origin: string
  /** Subject in FEATURES. */
  readonly subject: string
  /** Sequence of the failure notice that the replay may replace; 0 when there is none. */
  readonly supersedes: number
  /** Last sequence of FEATURES before it was published. */
  readonly after: number
}

/** A hold that was taken: its token, and the revision that releases it. */
export interface TakenHold {
  readonly token: string
  readonly revision: number
  readonly hold: Hold
}

export interface Holds {
  /** Takes a dead letter, or says who has it. */
  take(token: string, hold: Hold): Promise<TakenHold | { readonly heldBy: Hold['by'] }>
  release(taken: TakenHold): Promise<void>
  /** What a task or act holds. */
  of(id: string): AsyncGenerator<TakenHold>
}

export function createHolds(keyValue: KeyValue): Holds {
  const keyOf = (token: string): string => `held.${token}`
  return {
    async take(token, hold) {
      for (let expected = 0; ; ) {
        const revision = await keyValue.put(keyOf(token), hold, expected)
        if (revision !== undefined) return { token, revision, hold }
        const present = await keyValue.get<Hold>(keyOf(token))
        if (present !== undefined && !mayTakeOver(present.value, hold)) return { heldBy: present.value.by }
        expected = present?.revision ?? 0
      }
    },
    release: ({ token, revision }) => keyValue.remove(keyOf(token), revision),
    async *of(id) {
      for await (const { key, revision, value } of keyValue.list<Hold>('held') as AsyncGenerator<
        KeptValue<Hold>
      >)
        if (value.by.id === id) yield { token: key.slice('held.'.length), revision, hold: value }
    },
  }
}

/** Of an earlier dead letter nothing is left to do; removing what somebody else began to remove changes nothing. */
function mayTakeOver(present: Hold, wanted: Hold): boolean {
  const isRemoval = (hold: Hold): boolean => hold.by.kind !== 'replay'
  return present.sequence < wanted.sequence || (isRemoval(present) && isRemoval(wanted))
}
