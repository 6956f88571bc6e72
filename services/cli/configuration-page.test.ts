import { readFile } from 'node:fs/promises'
import { hostname } from 'node:os'
import { describe, expect, it } from 'vitest'
import { brokerDataDir } from '../../shared/operations/broker/operator-settings.ts'
import { DEFAULT_TOPOLOGY } from '../../shared/sdk/contract/topology.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { configurationPage } from './configuration-page.ts'
import { readTopology, TOPOLOGY_SETTINGS } from './topology-settings.ts'

describe('docs/configuration.md', () => {
  it('is what the schemas say (npm run -s pelton -- settings > docs/configuration.md)', async () => {
    const written = await readFile(new URL('../../docs/configuration.md', import.meta.url), 'utf8')
    expect(written).toBe(configurationPage())
  })

  it('has a meaning for every setting and names nothing of this machine', () => {
    const rows = configurationPage()
      .split('\n')
      .filter((line) => line.startsWith('| `'))
    expect(rows.length).toBeGreaterThan(25)
    for (const row of rows) expect(row).toMatch(/^\| `[A-Z_]+` \| .* \| [A-Z].+ \|$/)
    expect(configurationPage()).not.toContain(`${hostname()}-${process.pid}`) // the default of two settings
  })
})

describe('readTopology', () => {
  it('is the default topology where nothing is set', () => {
    expect(readTopology({})).toEqual(DEFAULT_TOPOLOGY)
  })

  it('has a setting for every limit', () => {
    expect(Object.keys(TOPOLOGY_SETTINGS)).toHaveLength(Object.keys(DEFAULT_TOPOLOGY).length)
    const values = Object.keys(TOPOLOGY_SETTINGS).map((variable, index) => [
      variable,
      variable === 'PELTON_REPLICAS' ? '5' : String(2_000_000 + index),
    ])
    const read = Object.values(readTopology(Object.fromEntries(values)))
    expect([...read].sort()).toEqual(values.map(([, value]) => Number(value)).sort())
  })

  it('names every variable that cannot be used', () => {
    const read = () => readTopology({ PELTON_REPLICAS: '9', PELTON_ACK_WAIT_MS: 'soon' })
    expect(read).toThrow(PeltonError)
    expect(read).toThrow(/PELTON_REPLICAS = "9".*PELTON_ACK_WAIT_MS = "soon"/s)
  })
})

describe('brokerDataDir', () => {
  it('is PELTON_DATA, else below XDG_DATA_HOME where that is absolute', () => {
    expect(brokerDataDir({ PELTON_DATA: 'here', XDG_DATA_HOME: '/x' })).toBe('here')
    expect(brokerDataDir({ XDG_DATA_HOME: '/x' })).toBe('/x/pelton')
    expect(brokerDataDir({ XDG_DATA_HOME: 'relative' })).toMatch(/\/\.local\/share\/pelton$/)
  })
})
