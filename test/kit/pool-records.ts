import { emptyRecord, type ModelRecord } from '../../shared/operations/models/model-record.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'

/** The records of a pool without a broker: of one that may be out of reach. */
export function poolRecords() {
  const records = new Map<string, ModelRecord>()
  const listeners = new Set<(model: string) => void>()
  const pool = {
    isReachable: true,
    workers: ['one', 'two'],
    find: (model: string) => records.get(model),
    async update(model: string, change: (record: ModelRecord) => ModelRecord) {
      await Promise.resolve() // nobody's change is stored at once
      if (!pool.isReachable) throw new PeltonError('broker-unavailable', 'the broker is away')
      const changed = change(records.get(model) ?? emptyRecord('default', model))
      records.set(model, changed)
      for (const listener of listeners) listener(model)
      return changed
    },
    onChange(listener: (model: string) => void) {
      listeners.add(listener)
      return () => listeners.delete(listener)
    },
  }
  return pool
}
