import { AUDITED_STORES, erase, put } from './evidence.ts'
import type { HistoryStage } from './history-stage.ts'
import type { Stored } from './stored.ts'
import { KINDS, type Kind, type Owed, type Tamper } from './tamper.ts'

const NOTE: Owed = { excused: 'note' }

/** What is done to the keys of a bucket, which hold no event, no outcome and no record. */
const DEEDS: Readonly<Record<Kind, (stage: HistoryStage, two: readonly Stored[]) => Promise<void>>> = {
  delete: async (stage, [one]) => {
    if (one !== undefined) await erase(stage, one)
  },
  double: async (stage, [one]) => {
    if (one !== undefined) await put(stage, one)
  },
  forge: async (stage, [one]) => {
    if (one !== undefined) await put(stage, { ...one, subject: `${one.subject}x` })
  },
  swap: async (stage, [one, other]) => {
    if (one === undefined || other === undefined) return
    await put(stage, { ...one, body: other.body })
    await put(stage, { ...other, body: one.body })
  },
  edit: async (stage, [one]) => {
    if (one !== undefined)
      await put(stage, { ...one, body: Buffer.from(one.body).subarray(0, one.body.length / 2) })
  },
}

/** What can be done to the buckets: an audit goes on, whatever it reads there. */
export const BUCKET_TAMPERS: readonly Tamper[] = AUDITED_STORES.flatMap((stream) =>
  KINDS.map(
    (kind): Tamper => ({
      ...{ kind, stream, what: 'a key' },
      async act(stage, evidence) {
        const keys = [...new Map(evidence.of(stream).map((one) => [one.subject, one])).values()]
        const first = keys.length === 0 ? undefined : stage.pick(keys)
        const other = keys.find((one) => one !== first) ?? first
        if (first === undefined || other === undefined) return undefined
        await DEEDS[kind](stage, [first, other])
        return NOTE
      },
    }),
  ),
)
