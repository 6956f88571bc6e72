import { eventHeapFlags } from '../../../shared/runtime/heap-flags.ts'
import { startOtlpReceiver } from '../../kit/otlp-receiver.ts'
import { measureDrain } from '../compare/drain.ts'
import type { Measured } from '../compare/figures.ts'
import type { Contestant, PeerLoad } from './contestant.ts'
import { whyVoid } from './inspect.ts'
import type { Workplace } from './workplace.ts'

const SAMPLED = 0.01

/** Pelton as it is installed: compiled, every check on, telemetry of one event in a hundred to an endpoint. */
export const PELTON: Contestant = {
  name: 'pelton',
  title: 'Pelton, one worker',
  share: 1,
  prepare: async (workplace) => ({
    settings: `validation, ledger, telemetry of ${100 * SAMPLED} % of events, defaults otherwise`,
    measure: (load) => measurePelton(workplace, load),
  }),
}

async function measurePelton(workplace: Workplace, load: PeerLoad): Promise<Measured> {
  const { entry, flights, signal } = workplace
  const receiver = await startOtlpReceiver()
  try {
    const truth = await workplace.truth()
    const env = {
      OTEL_EXPORTER_OTLP_ENDPOINT: receiver.url,
      OTEL_EXPORTER_OTLP_PROTOCOL: 'http/json',
      OTEL_TRACES_SAMPLER: 'parentbased_traceidratio',
      OTEL_TRACES_SAMPLER_ARG: String(SAMPLED),
    }
    const target = {
      // As `pelton worker` starts it.
      program: { args: [...eventHeapFlags(), entry('services/worker/main')], env },
      profile: load.profile,
      inspect: (stage: Parameters<typeof whyVoid>[0]) =>
        whyVoid(stage, truth, load.warmUp + load.events, signal),
    }
    const measured = await measureDrain(target, { ...load, flights }, signal)
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
  },
): Contestant {
  const { settings, args, ...contestant } = about
  const [program = '', ...rest] = args
  return {
    ...contestant,
    prepare: async ({ entry, flights, signal }) => ({
      settings,
      measure: ({ profile, ...load }) =>
        measureDrain({ program: { args: [entry(program), ...rest] }, profile }, { ...load, flights }, signal),
    }),
  }
}
