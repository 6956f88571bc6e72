import type { ApiKey } from '../../../shared/operations/keys/key-record.ts'

const MOST_NAMED = 3

/** What is shown of a key: all that is known to Pelton and is no secret. Its hash is of no use to anybody. */
export function keyJson({
  id,
  name,
  models,
  pool,
  highestLane,
  quotaClass,
  createdAt,
  createdBy,
  revokedAt,
  revokedBy,
}: ApiKey): Omit<ApiKey, 'hash'> {
  return { id, name, models, pool, highestLane, quotaClass, createdAt, createdBy, revokedAt, revokedBy }
}

/** Models of a key, for people: the first of many, and how many more. */
export function modelsText(models: ApiKey['models']): string {
  if (models === 'all') return 'all models'
  const more = models.length - MOST_NAMED
  const named = models.slice(0, MOST_NAMED).join(', ')
  return more > 0 ? `${named} and ${more} more` : named
}
