import { randomBytes } from 'node:crypto'
import { DEMO_MODEL } from '../../../services/demo/models.ts'
import { eventHeapFlags } from '../../../shared/runtime/heap-flags.ts'
import { startOtlpReceiver } from '../../kit/otlp-receiver.ts'
import type { Stage, StageOptions } from '../../scale/stage.ts'
import { type DrainTarget, measureDrain } from '../compare/drain.ts'
import type { Measured } from '../compare/figures.ts'
import type { Contestant, PeerLoad } from './contestant.ts'
import { type Truth, whyVoid, wrongAnswer } from './inspect.ts'
import type { Workplace } from './workplace.ts'

const SAMPLED = 0.01
/** Published at a time: between two it is seen whether to stop. */
const CHUNK = 5_000

/** Pelton as it is installed: compiled, every check on, telemetry of one event in a hundred to an endpoint. */
export const PELTON: Contestant = {
  name: 'pelton',
  title: 'Pelton, one worker',
  share: 1,
  prepare: async (workplace) => ({
    settings: `validation, ledger, spans of ${100 * SAMPLED} % of events and metrics sent, defaults otherwise`,
    measure: (load) => measurePelton(workplace, load),
  }),
}

async function measurePelton(workplace: Workplace, load: PeerLoad): Promise<Measured> {
  const truth = await workplace.truth()
  return measureWorker(workplace, { ...load, truth })
}

/** Trace context of an event: one in a hundred is sampled. */
export function traceparentOf(index: number): string {
  const flags = index % Math.round(1 / SAMPLED) === 0 ? '01' : '00'
  return `00-${randomBytes(16).toString('hex')}-${randomBytes(8).toString('hex')}-${flags}`
}

/** Flights to a model, or to several in turn, with trace contexts, of which one in a hundred is sampled. */
export function tracedFlights(
  { flights, signal }: Workplace,
  models: readonly string[] = [DEMO_MODEL],
): (stage: Stage, count: number) => Promise<void> {
  return async (stage, count) => {
    for (let left = count; left > 0; left -= CHUNK) {
      signal.throwIfAborted()
      await stage.publishFlights(flights, Math.min(CHUNK, left), models, traceparentOf)
    }
  }
}

/** Answered before a run counts, at most: by then the code is compiled to its last stage. */
const WARM_UP = 50_000

/** How many events are answered before so many count. */
export function warmUpOf(events: number): number {
  return Math.min(WARM_UP, Math.ceil(events / 2))
}

/** What a worker shall answer, and where. */
export interface WorkerLoad extends StageOptions {
  readonly warmUp: number
  readonly events: number
  readonly coolDown?: number
  /** Compiled entry of the worker. @default this checkout's */
  readonly program?: string
  /** Folder of models. @default the demo's */
  readonly models?: string
  /** Publishes events `event-0` and so on. @default flights */
  readonly fill?: (stage: Stage, count: number) => Promise<void>
  /** Beside the drain, as `measureDrain` has it. */
  readonly beside?: NonNullable<DrainTarget['beside']>
  /** Arguments of `node` and environment of the worker. */
  readonly worker?: { readonly args: readonly string[]; readonly env: NodeJS.ProcessEnv }
  /** Event n has row n of it, which begins again at its end. */
  readonly truth: Truth
}

/** A drain by a worker with every check and telemetry on; void where an answer or the audit is not as it has to be. */
export async function measureWorker(workplace: Workplace, load: WorkerLoad): Promise<Measured> {
  const { entry, flights, signal } = workplace
  const receiver = await startOtlpReceiver()
  try {
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: String(SAMPLED),
    }
    const { models, truth, warmUp, events, coolDown = 0, worker, program: given, ...target } = load
    const program = {
      // As `pelton worker` starts it.
      args: [...eventHeapFlags(), ...(worker?.args ?? []), given ?? entry('services/worker/main')],
      env: { ...env, ...worker?.env },
      ...(models !== undefined && { models }),
    }
    const inspect = (stage: Stage) => whyVoid(stage, truth, warmUp + events + coolDown, signal)
    const measured = await measureDrain(
      { fill: tracedFlights(workplace), ...target, program, inspect },
      { warmUp, events, coolDown, flights },
      signal,
    )
    const conditions = { ...measured.conditions, 'spans received': receiver.spans.length }
    return { ...measured, conditions }
  } finally {
    await receiver.close()
  }
}

/** A contestant that is one of our processes beside the worker, on the same streams. */
export function onJetStream(
  about: Omit<Contestant, 'prepare'> & {
    readonly settings: string
    /** Compiled entry, then its arguments. */
    readonly args: readonly string[]
    /** Whether its answers are those of a worker, and so are compared with the model's own. @default false */
    readonly isCompared?: boolean
  },
): Contestant {
  const { settings, args, isCompared = false, ...contestant } = about
  const [program = '', ...rest] = args
  return {
    ...contestant,
    prepare: async (workplace) => ({
      settings,
      measure: ({ profile, ...load }) => {
        const { entry, flights, signal } = workplace
        const inspect = async (stage: Stage): Promise<string | undefined> =>
          wrongAnswer(stage, await workplace.truth(), load.warmUp + load.events)
        const target = {
          program: { args: [entry(program), ...rest] },
          profile,
          fill: tracedFlights(workplace),
          ...(isCompared && { inspect }),
        }
        return measureDrain(target, { ...load, flights }, signal)
      },
    }),
  }
}
