import type { NatsConnection } from '@nats-io/transport-node'
import { readUnservedModels, type UnservedModel } from '../../../shared/operations/models/unserved-models.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { type Names, PLAIN_NAMES } from '../../../shared/sdk/contract/names.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'

/** Which models some worker cannot serve. @returns undefined where that may not be read */
export function readModels(connection: NatsConnection): Promise<readonly UnservedModel[] | undefined> {
  return readUnservedModels(connection).catch(() => undefined) // streams and consumers are told without it
}

/** Lines shown at most: the rest is a count. */
const MOST_LINES = 20

/** For people: a line for each model that some worker cannot serve; no table where there is none. */
export function unservedTable(
  models: readonly UnservedModel[] | undefined,
  names: Pick<Names, 'stream'> = PLAIN_NAMES,
): readonly (readonly string[])[][] {
  if (models === undefined || models.length === 0) return []
  const lines = models
    .slice(0, MOST_LINES)
    .map(({ pool, model, serving, workers, waiting, reasons }) => [
      model,
      pool,
      `${showCount(serving)} of ${showCount(workers)}`,
      showCount(waiting),
      reasons.join('; '),
    ])
  const more = models.length - lines.length
  const rest = more === 0 ? [] : [['…', '', '', '', `${showCount(more)} more`]]
  const waitsIn = `IN ${names.stream(STREAMS.retries)}`
  return [[['MODEL NOT SERVABLE', 'POOL', 'SERVED BY', waitsIn, 'WHY'], ...lines, ...rest]]
}
