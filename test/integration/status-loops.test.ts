import { expect, onTestFinished, test } from 'vitest'
import { readLoops } from '../../services/cli/status/loops.ts'
import { openPoolModels } from '../../shared/operations/models/pool-models.ts'
import { ALIVE_MS } from '../../shared/operations/models/presence.ts'
import { startTestBroker } from '../kit/broker.ts'
import { eventually } from '../kit/wait.ts'

test('workers say how late their loops are, until they are gone', async () => {
  const broker = await startTestBroker()
  onTestFinished(() => broker.stop())
  const connection = await broker.connect()
  expect(await readLoops(connection, Date.now())).toBeUndefined() // not provisioned
  await broker.provision()
  expect(await readLoops(connection, Date.now())).toEqual([])
  const busy = await openPoolModels(connection, { pool: 'default', worker: 'busy' })
  onTestFinished(() => busy.close())
  const other = await openPoolModels(connection, { pool: 'other', worker: 'w 2' })
  const names = async () => (await readLoops(connection, Date.now()))?.map(({ worker }) => worker).sort()
  expect(await names()).toEqual(['busy', 'w 2'])

  const late = await eventually('a loop that stood still to be told of', async () => {
    for (const end = performance.now() + 400; performance.now() < end; );
    const loops = await readLoops(connection, Date.now())
    return loops?.find(({ lateMs }) => lateMs > 250)
  })
  expect(late.lateMs).toBeLessThan(60_000)

  expect(await readLoops(connection, Date.now() + 2 * ALIVE_MS)).toEqual([])
  await other.close()
  expect(await names()).toEqual(['busy'])
})
