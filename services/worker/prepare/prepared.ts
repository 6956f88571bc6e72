import type { IgnoredFeatures } from '../../../shared/models/bind.ts'
import type { EventInputs } from '../../../shared/models/event-reader.ts'
import type { ServedModel } from '../../../shared/models/repository.ts'
import type { EventData } from '../../../shared/sdk/contract/open-inference.ts'
import type { Delivery } from '../intake/delivery.ts'
import type { Concluded } from '../settle/outcome.ts'

/** An event that can be run: its inputs fit the signature of its model. */
export interface Prepared {
  readonly delivery: Delivery
  readonly model: ServedModel
  readonly inputs: EventInputs
  /** Size of the first dimension, 1 for models without one. */
  readonly rows: number
  /** Names of the outputs to answer with. */
  readonly outputs: readonly string[]
  /** Features of the event that its model does not know and its manifest lets pass. */
  readonly ignored?: IgnoredFeatures
  readonly request: Pick<EventData, 'id' | 'outputs' | 'parameters'>
  /**
   * Events of the same kind can share a model call: same model, same inputs, same datatypes, same
   * trailing shapes, and all of lane `low` or none.
   */
  readonly kind: string
  /** Rows a batch of this kind may have. */
  readonly maxBatchRows: number
  /** Set for a suspect: what an earlier run left. */
  readonly mark?: StartMark
  /** Whether nothing else may run beside it. */
  readonly runsAlone?: boolean
}

/** That an event was about to be run, stored before it ran. Gone once the run has ended: what stays tells of one that did not. */
export interface StartMark {
  /** Runs begun together with other suspects. */
  readonly shared: number
  /** Runs begun alone: only these can condemn an event. */
  readonly alone: number
  /** How often one stored message was given back because its model was not servable. */
  readonly handedOn?: { readonly stream: string; readonly sequence: number; readonly times: number }
}

/** Events that go through a stage together. */
export type Batch = readonly Prepared[]

/** What a stage makes of a batch, event by event in its order: one can go on, or its outcome is known without a run. */
export type Passed = readonly (Prepared | Concluded)[]

export function isConcluded(event: Prepared | Concluded): event is Concluded {
  return 'outcome' in event
}

/** Rows of all events of a batch. */
export function rowsOf(batch: Batch): number {
  let rows = 0
  for (const event of batch) rows += event.rows
  return rows
}
