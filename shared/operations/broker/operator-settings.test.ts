import { describe, expect, it } from 'vitest'
import { readOperatorSettings } from './operator-settings.ts'

describe('PELTON_NATS_MONITOR_URL', () => {
  const read = (PELTON_NATS_MONITOR_URL: string) =>
    readOperatorSettings({ PELTON_NATS_MONITOR_URL }).PELTON_NATS_MONITOR_URL

  it('is a list, and nothing where it is empty', () => {
    expect(read('http://nats-1:8222')).toEqual(['http://nats-1:8222'])
    expect(read('http://a:8222/,https://[::1]:8222')).toEqual(['http://a:8222', 'https://[::1]:8222'])
    expect(read('')).toBeUndefined()
  })

  it.each([
    'nats-1:8222',
    'nats://nats-1:4222',
    'http://a:8222,',
    'http://a:8222 ,http://b:8222',
    'http://u:p@a:8222',
  ])('refuses %s, and does not repeat a password', (text) => {
    expect(() => read(text)).toThrow(/PELTON_NATS_MONITOR_URL = .*must be an address like http:/s)
    expect(() => read(text)).not.toThrow(/u:p/)
  })
})
