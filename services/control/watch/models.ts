import type { UnservedModel } from '../../../shared/operations/models/unserved-models.ts'
import type { NewAlert } from '../../../shared/operations/watch-record/alert.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { showValue } from '../../../shared/sdk/errors.ts'

/** Tells models that workers cannot serve from those they have not looked at yet, because they have just started. */
export class ModelMemory {
  #before: ReadonlySet<string> = new Set()

  /** Those that were not served in the look before either. */
  still(found: readonly UnservedModel[]): readonly UnservedModel[] {
    const before = this.#before
    this.#before = new Set(found.map(keyOf))
    return found.filter((one) => before.has(keyOf(one)))
  }
}

function keyOf({ pool, model }: UnservedModel): string {
  return JSON.stringify([pool, model])
}

export function modelAlert(unserved: UnservedModel): NewAlert {
  const { pool, model, serving, workers, reasons, waiting, isBroken } = unserved
  const served = serving === 0 ? 'no worker serves it' : `${serving} of ${workers} workers serve it`
  const waits = waiting === 0 ? '' : `, ${showCount(waiting)} of its events wait in RETRIES`
  return {
    kind: 'model-not-servable',
    about: `${pool}/${model}`,
    text: `model ${showValue(model)} of pool ${showValue(pool)}: ${served}${waits}; ${reasons.slice(0, 3).join('; ')}`,
    remedy: isBroken ? REMEDY_BROKEN : REMEDY,
    count: waiting,
  }
}

const REMEDY =
  'Bring its folder back as it was: nothing has to be restarted, and nothing is lost. docs/runbooks/model-not-servable.md'

const REMEDY_BROKEN =
  'Mend the model: it is probed again and again, and its events are answered once it works. docs/runbooks/model-fails.md'
