import { nearestName } from '../../../shared/models/nearest-name.ts'
import type { ModelRecord } from '../../../shared/operations/models/model-record.ts'
import { PeltonError, showValue } from '../../../shared/sdk/errors.ts'
import type { ModelDirectory } from './core.ts'
import { Refusal } from './refusal.ts'
import type { Caller } from './request.ts'

/** Letters compared for "did you mean", at most. */
const MAX_STEPS = 20_000
/** Names that are told at most. */
const MOST_TOLD = 10

/** @throws Refusal 403 for a model that the caller may not use, whether there is one or not */
export function checkRights(caller: Caller, model: string): void {
  if (caller.mayUse(model)) return
  throw new Refusal(403, 'Forbidden', 'this key may not use this model', {
    code: 'forbidden',
    field: 'model',
    value: showValue(model),
    remedy: 'Use a model that the key names, or a key that names this one.',
  })
}

/**
 * Whether a caller's pool has a model in this version, or has ever had it: what was never read is not known not to be there.
 *
 * @throws PeltonError `unknown-model`
 */
export function checkModel(
  directory: ModelDirectory,
  caller: Caller,
  model: string,
  version: string | undefined,
): void {
  if (!directory.isRead) return
  const record = directory.find(caller.pool, model)
  if (record === undefined) {
    const names = directory
      .all(caller.pool)
      .flatMap((each) => (caller.mayUse(each.model) ? [each.model] : []))
    throw unknown('model', model, `pool ${showValue(caller.pool)} has never had this model`, names)
  }
  if (version === undefined || isVersionOf(record, version)) return
  const versions = Object.keys(record.versions)
  throw unknown('modelVersion', version, `model ${showValue(model)} has never had this version`, versions)
}

function isVersionOf({ versions, refusing }: ModelRecord, version: string): boolean {
  if (Object.hasOwn(versions, version)) return true
  return Object.values(refusing).some((refused) => refused.version === version)
}

function unknown(field: string, value: string, problem: string, names: readonly string[]): PeltonError {
  const nearest = nearestName(value, names, MAX_STEPS)
  const remedy = nearest === undefined ? whatThereIs(names) : `Did you mean ${showValue(nearest)}?`
  return new PeltonError('unknown-model', problem, { field, value: showValue(value), remedy })
}

function whatThereIs(names: readonly string[]): string {
  if (names.length === 0) return 'There is none yet: start a worker that serves it.'
  const some = names.slice(0, MOST_TOLD).map((name) => showValue(name))
  return `Known ${names.length > MOST_TOLD ? 'are, among others,' : 'here:'} ${some.join(', ')}.`
}
