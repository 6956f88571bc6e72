import { describe, expect, vi } from 'vitest'
import { staged } from '../kit/staged.ts'
import { eventually, PATIENT } from '../kit/wait.ts'
import { spawnControl } from './control-process.ts'
import { lookedAt, openControlStage } from './control-stage.ts'

const test = staged(openControlStage)

/** Patience with a broker is a minute long: whoever has it then is forced, and ends with 3. */
const BEFORE_PATIENCE = { PELTON_CONTROL_GRACE_MS: '50000' }

describe.concurrent('a control service whose broker is gone', () => {
  test('ends in peace at SIGTERM, and waits for nobody', async ({ stage }) => {
    const control = await stage.control(BEFORE_PATIENCE)
    await vi.waitFor(async () => expect(await lookedAt(control)).not.toBe(''), PATIENT)
    await stage.broker.kill()
    control.kill('SIGTERM')
    expect(await control.ended).toBe(0)
  })

  test('ends once the loss was seen, in the middle of a look', async ({ stage }) => {
    const control = await stage.control(BEFORE_PATIENCE)
    await vi.waitFor(async () => expect(await lookedAt(control)).not.toBe(''), PATIENT)
    await stage.broker.kill()
    const isSeen = (): boolean => control.log.some(({ msg }) => msg === 'no connection to the broker')
    await eventually('the loss to be seen', isSeen)
    control.kill('SIGTERM')
    expect(await control.ended).toBe(0)
  })

  test('ends at SIGTERM where nobody reads its log any more', async ({ stage }) => {
    const { broker, dataDir } = stage
    const { child, until, ended } = spawnControl({ url: broker.url, dataDir, env: BEFORE_PATIENCE })
    await until('this control service watches')
    child.stdout.destroy()
    child.stderr.destroy()
    await broker.kill()
    child.kill('SIGTERM')
    expect(await ended).toBe(0)
  })
})
