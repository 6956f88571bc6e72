import type { NatsConnection } from '@nats-io/transport-node'
import { consumerSpecs, DEFAULT_TOPOLOGY } from '../../../shared/sdk/contract/topology.ts'
import { requestApi } from '../../../shared/sdk/jetstream/api.ts'
import { provision } from '../../../shared/sdk/jetstream/provision.ts'
import { memoryOf, openStage, type Stage } from '../../scale/stage.ts'
import type { Workplace } from '../suite/workplace.ts'
import { meterFor } from './crew.ts'
import type { Line } from './figures.ts'

const ADDED = 32
const METERED_MS = 4_000

/** What pools cost that have neither events nor workers: as consumers of one FEATURES, and with a pair of streams of their own. */
export async function measureAssets(workplace: Workplace): Promise<readonly Line[]> {
  const lines: Line[] = []
  for (const servers of [1, 3] as const) {
    const stage = await openStage({ servers })
    const label = `R${servers}, `
    const look = async (subject: string): Promise<void> => {
      workplace.signal.throwIfAborted()
      lines.push({ subject: label + subject, figures: await figuresOf(stage) })
      workplace.note(`${label}${subject}: ${JSON.stringify(lines.at(-1)?.figures)}`)
    }
    try {
      await look('one pool')
      const pools = Array.from({ length: ADDED }, (_pool, index) => `more-${index}`)
      await provision(stage.connection, { topology: { replicas: servers }, pools })
      await look(`${ADDED} pools more`)
      for (let index = 0; index < ADDED; index++) await ownStreams(stage.connection, `own-${index}`, servers)
      await look(`${ADDED} pools more, with streams of their own`)
    } finally {
      await stage.close()
    }
  }
  return lines
}

/** Memory of the first server, processor time of all. */
async function figuresOf(stage: Stage): Promise<Line['figures']> {
  const [first = 0] = stage.brokerPids
  const { broker } = await meterFor(stage, [], METERED_MS)
  return { 'MiB a server': (await memoryOf(first)).nowMiB, 'broker ms/s': broker }
}

/** As streams per pool would be: subjects that no stream of Pelton has. */
async function ownStreams(connection: NatsConnection, pool: string, replicas: number): Promise<void> {
  const names = { FEATURES: `FEATURES_${pool}`, RETRIES: `RETRIES_${pool}` }
  for (const [root, name] of Object.entries(names))
    await requestApi(connection, `STREAM.CREATE.${name}`, {
      name,
      subjects: [`own.${root}.${pool}.>`],
      retention: 'workqueue',
      storage: 'file',
      num_replicas: replicas,
    })
  for (const { stream, filter_subject: filter, ...config } of consumerSpecs(pool, DEFAULT_TOPOLOGY)) {
    const name = stream === 'FEATURES' ? names.FEATURES : names.RETRIES
    const own = `own.${stream}.${pool}.*.${filter.split('.')[3] ?? '*'}`
    await requestApi(connection, `CONSUMER.CREATE.${name}.${config.durable_name}.${own}`, {
      stream_name: name,
      config: { name: config.durable_name, ...config, filter_subject: own },
    })
  }
}
