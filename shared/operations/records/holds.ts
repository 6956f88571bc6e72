import type { KeptValue, KeyValue } from './key-value.ts'

/**
 * The task or act that works on a dead letter. It covers the one dead letter of its sequence: when the event has failed
 * again, its new dead letter is free.
 */
export interface Hold {
  readonly by: Holder
  /** Of the dead letter in DEADLETTERS. */
  readonly sequence: number
  /** For a replay: what is needed to find out, after a crash, what became of it. */
  readonly sent?: SentReplay
}

/** A replay task, or an act of discarding or purging. */
export interface Holder {
  readonly kind: 'replay' | 'discard' | 'purge'
  readonly id: string
  /** The operator. */
  readonly who: string
  /** Said of a replay that is over: the copy of this one event has no outcome yet. */
  readonly isOnItsWay?: true
}

/** Where the copy of an event lies: its sequence in FEATURES, or past it, in RETRIES or with its outcome. */
export type Place = number | 'past-features'

/** The copy that a replay published of the event of a dead letter. */
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
  /** Where its copy was when its task was cancelled under way; undefined where that is not known. */
  readonly place?: Place
}

/** A hold that was taken: its token, and the revision that releases it. */
export interface TakenHold {
  readonly token: string
  readonly revision: number
  readonly hold: Hold
}

/** Who may work on which dead letter: one task or act at a time. All throw PeltonError `broker-unavailable`. */
export interface Holds {
  /** Takes a dead letter, or tells the task or act that has it. */
  take(token: string, hold: Hold): Promise<TakenHold | { readonly heldBy: Holder }>
  /** Writes down more about a hold that is kept; nothing where another task or act has it by now. */
  note(taken: TakenHold, sent: SentReplay): Promise<void>
  release(taken: TakenHold): Promise<void>
  /** What a task or act holds; everything that is held by default. */
  of(id?: string): AsyncGenerator<TakenHold>
}

/** Whether a hold in the way is needed still: of a replay that is over it is let go once its event has ended. */
type Review = (taken: TakenHold) => Promise<'held' | 'on its way' | 'let go'>

/** @param review asked about a hold that is in the way; by default every one is needed */
export function createHolds(keyValue: KeyValue, review: Review = async () => 'held'): Holds {
  const keyOf = (token: string): string => `held.${token}`
  return {
    async take(token, hold) {
      for (let expected = 0; ; ) {
        const revision = await keyValue.put(keyOf(token), hold, expected)
        if (revision !== undefined) return { token, revision, hold }
        const present = await keyValue.get<Hold>(keyOf(token))
        expected = present?.revision ?? 0
        if (present === undefined || mayTakeOver(present.value, hold)) continue
        const found = await review({ token, revision: present.revision, hold: present.value })
        const { by } = present.value
        if (found !== 'let go') return { heldBy: found === 'held' ? by : { ...by, isOnItsWay: true } }
        expected = 0
      }
    },
    note: async ({ token, revision, hold }, sent) => {
      await keyValue.put(keyOf(token), { ...hold, sent }, revision)
    },
    release: ({ token, revision }) => keyValue.remove(keyOf(token), revision),
    async *of(id) {
      for await (const { key, revision, value } of keyValue.list<Hold>('held') as AsyncGenerator<
        KeptValue<Hold>
      >)
        if (id === undefined || value.by.id === id)
          yield { token: key.slice('held.'.length), revision, hold: value }
    },
  }
}

/** Of an earlier dead letter nothing is left to do; removing what another act began to remove changes nothing. */
function mayTakeOver(present: Hold, wanted: Hold): boolean {
  const isRemoval = (hold: Hold): boolean => hold.by.kind !== 'replay'
  return present.sequence < wanted.sequence || (isRemoval(present) && isRemoval(wanted))
}
