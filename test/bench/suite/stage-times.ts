/** What a sampling profiler of V8 says: `Profiler.Profile` of its protocol. */
export interface CpuProfile {
  readonly nodes: readonly {
    readonly id: number
    readonly callFrame: { readonly functionName: string; readonly url: string }
    readonly children?: readonly number[]
  }[]
  /** Node of each sample, the one it was taken in. */
  readonly samples: readonly number[]
  /** Before each sample, microseconds. */
  readonly timeDeltas: readonly number[]
}

/** A part of a worker's main thread, and the folder of whom it is, as part of an address. The first that fits is it. */
const PLACES: readonly (readonly [stage: string, part: string])[] = [
  ...['intake', 'prepare', 'batch', 'infer', 'settle', 'flow', 'observe'].map(
    (stage) => [stage, `services/worker/${stage}/`] as const,
  ),
  ['wiring', 'services/worker/'],
  ['models', 'shared/models/'],
  ['contract', 'shared/sdk/contract/'],
  ['connection', 'shared/sdk/jetstream/'],
  ['telemetry', 'shared/runtime/'],
  ['telemetry', '@opentelemetry/'],
  ['client', '@nats-io/'],
]

/** Functions of Node that hand bytes to the system, whoever asks for it. */
const WRITES = new Set(['writeBuffer', 'writev', 'writeLatin1String', 'writeUtf8String'])

/** What V8 calls what it does itself. */
const BY_ITSELF: Readonly<Record<string, string>> = {
  '(idle)': 'idle',
  '(garbage collector)': 'garbage',
  '(program)': 'node',
}

/**
 * Time by stage of a worker, microseconds; what waits is `idle`. A sample counts for the stage whose function it is in, or
 * which called what it is in: what a stage has Node or the contract's codecs do is its own, but for what is written to
 * sockets (`socket`). What no stage called is `node`.
 */
export function stageTimes({ nodes, samples, timeDeltas }: CpuProfile): ReadonlyMap<string, number> {
  const byId = new Map(nodes.map((node) => [node.id, node]))
  const parents = new Map(nodes.flatMap(({ id, children = [] }) => children.map((child) => [child, id])))
  const known = new Map<number, string>()
  const stageOf = (id: number): string => {
    const node = byId.get(id)
    if (node === undefined) return 'node'
    const stage = known.get(id) ?? ownStage(node.callFrame) ?? stageOf(parents.get(id) ?? 0)
    known.set(id, stage)
    return stage
  }
  const times = new Map<string, number>()
  samples.forEach((id, at) => {
    const stage = stageOf(id)
    times.set(stage, (times.get(stage) ?? 0) + (timeDeltas[at] ?? 0))
  })
  return times
}

function ownStage({ functionName, url }: CpuProfile['nodes'][number]['callFrame']): string | undefined {
  if (url === '' && WRITES.has(functionName)) return 'socket'
  if (url === '') return BY_ITSELF[functionName]
  return PLACES.find(([, part]) => url.includes(part))?.[0]
}
