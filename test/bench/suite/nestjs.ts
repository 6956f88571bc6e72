import { jetstream, jetstreamManager } from '@nats-io/jetstream'
import { DEMO_MODEL, DEMO_MODELS } from '../../../services/demo/models.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import type { Stage } from '../../scale/stage.ts'
import { measureDrain } from '../compare/drain.ts'
import { installPeers } from '../peers/install.ts'
import type { Contestant } from './contestant.ts'
import { CACHE, type Workplace } from './workplace.ts'

const PACKAGE = '@horizon-republic/nestjs-jetstream'
const SERVICE = 'bench'
const PATTERN = 'flight'
/** As the package names the stream of a service's events, and the subjects in it. */
const EVENTS = `${SERVICE}__microservice`
const CHUNK = 5_000

/** A framework's transport over JetStream, on streams of its own; answers go where the bench counts them. */
export const NESTJS: Contestant = {
  name: 'nestjs',
  isPeer: true,
  title: `NestJS with ${PACKAGE}`,
  share: 0.5,
  prepare: async (workplace) => {
    const { flights, note, signal } = workplace
    const peers = await installPeers(CACHE, note)
    const args = [peers.program('nestjs-process'), SERVICE, PATTERN, subjects.result(DEMO_MODEL, '')]
    const task = { flights: workplace.flightsFile, models: DEMO_MODELS }
    const env = { PELTON_BENCH_TASK: JSON.stringify(task) }
    const versions = `${PACKAGE} ${await peers.version(PACKAGE)}, NestJS ${await peers.version('@nestjs/core')}`
    return {
      settings: `${versions}; acknowledges before its handler runs: what is under way is lost with the process`,
      measure: ({ profile, ...load }) =>
        measureDrain(
          {
            program: { args, env },
            profile,
            fill: (stage, count) => fill(stage, workplace, count),
          },
          { ...load, flights },
          signal,
        ),
    }
  },
}

/** Before the service starts: a stream as it makes it, which it takes over, with the events as its client sends them. */
async function fill({ connection }: Stage, { flights, signal }: Workplace, count: number): Promise<void> {
  const manager = await jetstreamManager(connection)
  const subject = `${EVENTS}.ev.${PATTERN}`
  await manager.streams.add({
    name: `${EVENTS}_ev-stream`,
    subjects: [`${EVENTS}.ev.>`],
    retention: 'workqueue',
    allow_direct: true,
    allow_rollup_hdrs: true,
  })
  const js = jetstream(connection)
  for (let done = 0; done < count; done += CHUNK) {
    signal.throwIfAborted()
    const chunk = Array.from({ length: Math.min(CHUNK, count - done) }, (_event, at) => {
      const { features } = flights[(done + at) % flights.length] ?? {}
      return js.publish(subject, JSON.stringify({ id: `event-${done + at}`, features }))
    })
    await Promise.all(chunk)
  }
}
