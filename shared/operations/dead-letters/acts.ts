import type { KeyValue } from '../records/key-value.ts'

/** What an operator did to dead letters, other than replaying them. Never holds data of a purge. */
export interface Act {
  readonly id: string
  readonly what: 'discarded' | 'purged' | 'imported'
  readonly by: string
  readonly at: string
  /** The operator's reason. */
  readonly because: string
  /** What was asked for; of a purge nothing that names the person. */
  readonly asked: Readonly<Record<string, unknown>>
  readonly counts: Readonly<Record<string, number>>
  /** False while it is under way, and for ever when its process was killed: then do it again. */
  readonly isComplete: boolean
  /** The control service that ended it in place of its process, and what became of the dead letters that one held. */
  readonly note?: string
}

/** Writes an act down. Called before it begins and again when it has ended. */
export async function keepAct(keyValue: KeyValue, act: Act): Promise<void> {
  for (;;) {
    const present = await keyValue.get<Act>(`act.${act.id}`)
    if ((await keyValue.put(`act.${act.id}`, act, present?.revision ?? 0)) !== undefined) return
  }
}

/** All acts, oldest first. */
export async function listActs(keyValue: KeyValue): Promise<Act[]> {
  const acts: Act[] = []
  for await (const { value } of keyValue.list<Act>('act')) acts.push(value)
  return acts.sort((a, b) => (a.id < b.id ? -1 : 1))
}
