import type { BrokerLook } from '../../../shared/operations/broker/broker-look.ts'
import { judgeReplicas, REPLICA_ALERTS } from '../../../shared/operations/broker/replicas.ts'
import {
  type AlertKind,
  carryOn,
  firstOfEachKind,
  type NewAlert,
} from '../../../shared/operations/watch-record/alert.ts'
import type { WatchRecord } from '../../../shared/operations/watch-record/record.ts'

/** Whether every stream and consumer is led: else what the others say is not all, and nothing is judged by it. */
export function isWhole({ unled, lists }: Pick<BrokerLook, 'unled' | 'lists'>): boolean {
  return unled.size === 0 && [...lists.values()].every((list) => list.unled.length === 0)
}

/** What may pass within a second is judged by looks that are so far apart: an advisory wakes the watch sooner. */
const APART_MS = 1_000

type Look = Pick<BrokerLook, 'at' | 'groups'>

/** Judges servers and replicas by this look and the last that is a second older. */
export class ReplicaMemory {
  /** Oldest first. */
  #looks: readonly Look[] = []

  judge(look: Look): readonly NewAlert[] {
    const isOld = ({ at }: Look): boolean => look.at - at >= APART_MS
    const before = this.#looks.filter(isOld).at(-1)
    this.#looks = [...this.#looks.filter((one) => one === before || !isOld(one)), look]
    const troubles = judgeReplicas(before?.groups ?? [], look.groups)
    return troubles.map((trouble) => ({ ...trouble, count: 0 }))
  }
}

/** The record where something has no leader: only that is told. Of the rest, what was found before still stands. */
export function partly(
  before: WatchRecord,
  { at }: Pick<BrokerLook, 'at'>,
  troubles: readonly NewAlert[],
): WatchRecord {
  const ofReplicas: ReadonlySet<AlertKind> = new Set(REPLICA_ALERTS)
  const others = before.alerts.filter(({ kind }) => !ofReplicas.has(kind))
  const { kept, rest } = firstOfEachKind(troubles)
  const time = new Date(at).toISOString()
  return { ...before, at: time, alerts: carryOn(before.alerts, [...kept, ...rest, ...others], time) }
}
