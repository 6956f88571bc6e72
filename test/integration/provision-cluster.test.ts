import { describe, expect, it } from 'vitest'
import type { TopologyOptions } from '../../shared/sdk/contract/topology.ts'
import type { WireAccount } from '../../shared/sdk/jetstream/account.ts'
import { requestApi, streamInfo } from '../../shared/sdk/jetstream/api.ts'
import { provision } from '../../shared/sdk/jetstream/provision.ts'
import { type ClusterOptions, startTestCluster, type TestCluster } from '../kit/cluster.ts'

const GIB = 1024 ** 3

async function onCluster(
  options: ClusterOptions,
  use: (cluster: TestCluster) => Promise<void>,
): Promise<void> {
  const cluster = await startTestCluster(options)
  try {
    await use(cluster)
  } finally {
    await cluster.stop()
  }
}

/** What a refusal names: what the broker said, the field and the way out. */
async function refusal(cluster: TestCluster, topology: Partial<TopologyOptions>) {
  const connection = await cluster.connect()
  const thrown = await provision(connection, { topology }).then(
    () => undefined,
    (error: unknown) => error,
  )
  return thrown as { readonly code: string; readonly message: string; readonly details: object } | undefined
}

/** Bytes for which streams with a bound are there, and what the server counts for them. */
async function reservedOf(cluster: TestCluster) {
  const connection = await cluster.connect()
  const { streams } = await requestApi<{ streams: readonly string[] }>(connection, 'STREAM.NAMES')
  const infos = await Promise.all(streams.map((name) => streamInfo(connection, name)))
  const bytes = infos.map((info) => Number(info?.config.max_bytes))
  const { reserved_storage: counted } = await requestApi<WireAccount>(connection, 'INFO')
  return { bytes, sum: bytes.reduce((all, one) => all + one, 0), counted }
}

describe.concurrent('provision on a cluster whose account has a limit', () => {
  it('counts each copy as the servers do: what fits by the plan is made, a copy more is refused before', async () => {
    const account = 'jetstream: { max_file: 24GiB, max_mem: 1GiB, max_bytes_required: true }'
    const config = `accounts { A { ${account}, users: [{ user: a, password: a }] } }, no_auth_user: a`
    await onCluster({ config, jetstream: 'max_file_store: 100GB' }, async (cluster) => {
      expect(await refusal(cluster, { replicas: 3, featuresMaxBytes: 8 * GIB })).toMatchObject({
        code: 'not-provisioned',
        message: expect.stringContaining('each of them 3 times'),
        details: { field: 'max_storage' },
      })
      const connection = await cluster.connect()
      await provision(connection, { topology: { replicas: 3, featuresMaxBytes: GIB } })
      const { bytes, sum, counted } = await reservedOf(cluster)
      expect(bytes).toHaveLength(12)
      expect(sum).toBeGreaterThan(4 * GIB)
      expect(counted).toBe(sum)
      expect(3 * sum).toBeLessThanOrEqual(24 * GIB)
      // One more that would fit if copies did not count.
      const more = { name: 'MORE', subjects: ['more'], storage: 'file', num_replicas: 3, max_bytes: GIB }
      await expect(requestApi(connection, 'STREAM.CREATE.MORE', more)).rejects.toThrow(/insufficient storage/)
      const notes: string[] = []
      await provision(connection, {
        topology: { replicas: 3, featuresMaxBytes: GIB },
        note: (text) => notes.push(text),
      })
      expect(notes).toEqual([])
    })
  })
})

describe.concurrent('provision on a cluster names what really helps', () => {
  it('with room for less than FEATURES reserves, with too few servers, and with one away', async () => {
    await onCluster({ jetstream: 'max_file_store: 2GB' }, async (cluster) => {
      const full = await refusal(cluster, { replicas: 3 })
      expect(full).toMatchObject({
        code: 'not-provisioned',
        message: expect.stringContaining('insufficient storage'),
        details: {
          field: 'max_bytes',
          value: String(4 * GIB),
          remedy: expect.stringMatching(/PELTON_FEATURES_MAX_BYTES.*max_file_store/),
        },
      })
      expect(full?.details).not.toMatchObject({ remedy: expect.stringContaining('PELTON_REPLICAS') })

      expect(await refusal(cluster, { replicas: 5, featuresMaxBytes: GIB })).toMatchObject({
        message: expect.stringContaining('no suitable peers for placement'),
        details: {
          field: 'num_replicas',
          value: '5',
          remedy: 'Lower PELTON_REPLICAS, or add servers to the cluster.',
        },
      })

      // A cluster that was started again without one of them: its leader has never heard of that one.
      const [first, second, third] = cluster.nodes
      await Promise.all(cluster.nodes.map((node) => node.stop()))
      await Promise.all([first?.start(), second?.start()])
      await cluster.ready()
      expect(await refusal(cluster, { replicas: 3, featuresMaxBytes: GIB })).toMatchObject({
        message: expect.stringMatching(/peer offline|miscellaneous issue/),
        details: {
          field: 'num_replicas',
          value: '3',
          remedy: expect.stringMatching(/^Start the servers of the cluster that are away.*PELTON_REPLICAS/),
        },
      })

      // What was named does help.
      await third?.start()
      await cluster.ready()
      const connection = await cluster.connect()
      await provision(connection, { topology: { replicas: 3, featuresMaxBytes: GIB } })
      expect((await streamInfo(connection, 'FEATURES'))?.config).toMatchObject({
        num_replicas: 3,
        max_bytes: GIB,
      })
    })
  })

  it('with servers that tags keep apart', async () => {
    const tags = { jetstream: 'unique_tag: "az"', config: 'server_tags: ["az:one"]' }
    await onCluster(tags, async (cluster) => {
      expect(await refusal(cluster, { replicas: 3 })).toMatchObject({
        message: expect.stringContaining('server tag not unique'),
        details: {
          field: 'num_replicas',
          remedy: expect.stringMatching(/unique_tag.*server_tags.*PELTON_REPLICAS/),
        },
      })
    })
  })
})
