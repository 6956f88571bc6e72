import { describe, expect, it } from 'vitest'
import { z } from 'zod'
import { PeltonError } from '../sdk/errors.ts'
import { brokerOptions, brokerSettings, bytes, count, milliseconds, name, readSettings } from './config.ts'
import { namesOfEnv } from './names-of-env.ts'

const shape = {
  ...brokerSettings,
  PELTON_COUNT: count(1, 64).default(2),
  PELTON_WAIT_MS: milliseconds(0, 1_000).optional(),
  PELTON_BYTES: bytes(1_024).optional(),
  PELTON_NAME: name.default('w'),
}

function refusal(env: NodeJS.ProcessEnv): PeltonError {
  try {
    readSettings(shape, env)
  } catch (thrown) {
    if (thrown instanceof PeltonError) return thrown
    throw thrown
  }
  throw new Error('these settings were accepted')
}

describe('readSettings', () => {
  it('completes what is not set, and takes empty for not set', () => {
    expect(readSettings(shape, { PELTON_COUNT: '', PELTON_LOG_LEVEL: '', HOME: '/x' })).toEqual({
      PELTON_NATS_URL: 'nats://127.0.0.1:4222',
      PELTON_NATS_TLS_FIRST: 'false',
      PELTON_DATA_PATH: 'direct',
      PELTON_LOG_LEVEL: 'info',
      PELTON_COUNT: 2,
      PELTON_NAME: 'w',
    })
  })

  it('reads numbers and is frozen', () => {
    const settings = readSettings(shape, { PELTON_COUNT: '64', PELTON_WAIT_MS: '0', PELTON_BYTES: '1024' })
    expect(settings).toMatchObject({ PELTON_COUNT: 64, PELTON_WAIT_MS: 0, PELTON_BYTES: 1_024 })
    expect(Object.isFrozen(settings)).toBe(true)
  })

  it('names every problem at once, each with variable and value, and the way out', () => {
    const error = refusal({
      PELTON_COUNT: '0',
      PELTON_WAIT_MS: 'soon',
      PELTON_BYTES: '1',
      PELTON_LOG_LEVEL: 'loud',
      PELTON_NAME: 'x'.repeat(129),
      PELTON_NATS_URL: 'a b',
    })
    expect(error.code).toBe('invalid-configuration')
    expect(error.message).toContain('6 setting(s)')
    for (const part of [
      'PELTON_COUNT = "0": must be at least 1',
      'PELTON_WAIT_MS = "soon": must be a whole number',
      'PELTON_BYTES = "1": must be at least 1024',
      'PELTON_LOG_LEVEL = "loud"',
      'PELTON_NAME = "xxx',
      'PELTON_NATS_URL = "a b": must be an address',
      'docs/configuration.md',
    ]) {
      expect(error.message).toContain(part)
    }
  })

  it.each(['65', '-1', '1.5', '1e3', ' 1', '0x10', '99999999999999999999'])(
    'refuses the count %j',
    (text) => {
      expect(refusal({ PELTON_COUNT: text }).message).toContain(`PELTON_COUNT = ${JSON.stringify(text)}`)
    },
  )

  it('never shows a secret', () => {
    const secret = z.string().max(3, 'too long')
    expect(() =>
      readSettings(
        { PELTON_A_PASSWORD: secret, PELTON_A_TOKEN: secret, PELTON_SECRET_A: secret },
        {
          PELTON_A_PASSWORD: 'hunter2',
          PELTON_A_TOKEN: 'hunter2',
          PELTON_SECRET_A: 'hunter2',
        },
      ),
    ).toThrow(/^(?!.*hunter2).*PELTON_A_PASSWORD = \(hidden\): too long/s)
  })

  it.each(['nats://me:hunter2@host:4222, x', 'hunter2@host a', 'nats://a:1,nats://me:hun@ter2@b:2 c'])(
    'never shows the password inside the address %s',
    (url) => {
      const { message } = refusal({ PELTON_NATS_URL: url })
      expect(message).toContain('***@')
      expect(message).not.toMatch(/hunter2|ter2|me:/)
    },
  )

  it.each(['nats://host:4222', 'tls://host', 'host:4222,nats://other:4222', 'nats://user:pass@host:4222'])(
    'takes the address %s',
    (url) => expect(readSettings(shape, { PELTON_NATS_URL: url }).PELTON_NATS_URL).toBe(url),
  )
})

describe('PELTON_PREFIX', () => {
  it.each(['a.b', 'results', '_a', 'a-b'])('is refused as %s, with what it must be', (prefix) => {
    expect(refusal({ PELTON_PREFIX: prefix }).message).toContain(
      `PELTON_PREFIX = "${prefix}": must be 1 to 32 characters of [A-Za-z0-9_]`,
    )
    expect(namesOfEnv({ PELTON_PREFIX: prefix }).prefix).toBeUndefined()
  })

  it('says which Pelton an environment is for', () => {
    expect(namesOfEnv({ PELTON_PREFIX: 'staging' }).stream('FEATURES')).toBe('staging-FEATURES')
    expect(namesOfEnv({ PELTON_PREFIX: '' }).prefix).toBeUndefined()
    expect(namesOfEnv({}).prefix).toBeUndefined()
    expect(brokerOptions(readSettings(shape, { PELTON_PREFIX: 'staging' }), 'test').prefix).toBe('staging')
  })
})

describe('brokerOptions', () => {
  it('hands address and credentials on', () => {
    const settings = readSettings(shape, { PELTON_NATS_USER: 'u', PELTON_NATS_PASSWORD: 'p' })
    expect(brokerOptions(settings, 'test')).toEqual({
      url: 'nats://127.0.0.1:4222',
      name: 'test',
      user: 'u',
      password: 'p',
      token: undefined,
      dataPath: 'direct',
    })
  })
})
