import type { Logger } from 'pino'
import type { ApartRunner } from '../../shared/models/apart-runner.ts'
import type { Calibration } from '../../shared/models/calibration.ts'
import type { InferenceThreads } from '../../shared/models/inference-threads.ts'
import type { PoolModels } from '../../shared/operations/models/pool-models.ts'
import type { Turns } from '../../shared/runtime/turns.ts'
import type { FlowGate } from '../../shared/sdk/contract/flow.ts'
import type { BrokerSide } from './broker-side.ts'
import type { Capacity } from './intake/room.ts'
import type { Amount } from './intake/timed-tally.ts'
import type { Observers } from './observe/interceptors.ts'
import type { Servability } from './servability.ts'
import type { Beyond } from './settle/parking.ts'

/** What a worker is made of. */
export interface WorkerDeps {
  readonly broker: BrokerSide
  /** What is served here, what is not servable and why, and who else serves it. */
  readonly models: Servability
  readonly threads: InferenceThreads
  /** Runs models of which a run did not end. */
  readonly apart: Pick<ApartRunner, 'run'>
  /** What models cost, by their keys. @default nothing is known */
  readonly calibrations?: { of(key: string): Calibration | undefined }
  /** What the pool remembers of its models. */
  readonly pool: Pick<PoolModels, 'find' | 'update' | 'onChange' | 'workers' | 'isPresent'>
  /** Why doors let in no events of a model, whatever its backlog is. @default while its breaker is open */
  readonly gatesOf?: (model: string) => readonly FlowGate[]
  readonly log: Logger
  /** Has this process replaced: a run in it does not end, and cannot be cancelled. May be called again. */
  readonly leave: (because: string) => void
  /** Shares the turns of the loop. @default its own */
  readonly turns?: Turns
  /** Metrics and traces, where somebody reads them. */
  readonly observers?: Observers
}

export interface WorkerOptions {
  readonly name: string
  readonly pool: string
  readonly capacity: Capacity
  /** What the workers of the pool may have parked in the retry lane. */
  readonly parked: Amount
  /** What becomes of the rest, of models that fail on everything. */
  readonly beyond: Beyond
  /** What all workers may keep in the retry lane, parked or not; less where its bound in bytes wants it. */
  readonly retries: Amount
  /** How long the first event of a batch waits for others, milliseconds. */
  readonly lingerMs: number
}
