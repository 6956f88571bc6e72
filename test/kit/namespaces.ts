import { spawnSync } from 'node:child_process'
import type { Network } from './cluster-wires.ts'

/** Ports of every node: each has an address of its own. */
const PORTS = { clientPort: 4222, routePort: 6222, monitorPort: 8222 }

/** Why this machine has no network namespaces for us, in a few words; undefined where it has. */
export function whyNoNamespaces(): string | undefined {
  if (process.platform !== 'linux') return 'network namespaces are a thing of Linux'
  if (process.getuid?.() !== 0) return 'network namespaces need root'
  const probe = `${prefixOf(process.pid)}-probe`
  try {
    run('ip', 'netns', 'add', probe)
    run('ip', 'netns', 'exec', probe, 'iptables', '-A', 'INPUT', '-s', '198.18.0.1', '-j', 'DROP')
    return undefined
  } catch (thrown) {
    return `no network namespace with a filter can be made: ${thrown instanceof Error ? thrown.message : ''}`
  } finally {
    spawnSync('ip', ['netns', 'delete', probe])
  }
}

/**
 * Puts each node into a network namespace, and joins them by a bridge that has one as well, so that no rule of this machine
 * is in the way. What is cut is dropped by iptables, as a network loses it: acknowledgements of TCP, too. Needs root. The
 * namespaces are gone after `close`, at the end of this process, or at the latest when another opens its own.
 */
export async function openNamespaces(names: readonly string[]): Promise<Network> {
  sweep()
  const space = new Namespaces(names)
  process.once('exit', space.remove)
  try {
    space.make()
  } catch (thrown) {
    space.remove()
    throw thrown
  }
  const address = (name: string): string => `nats://${space.hostOf(name)}:${PORTS.clientPort}`
  return {
    placeOf: (name) => ({
      ...{ host: space.hostOf(name), ...PORTS, namespace: space.spaceOf(name) },
      routes: space.othersOf(name).map((host) => `${host}:${PORTS.routePort}`),
    }),
    addressOf: (name) => ({ url: address(name), directUrl: address(name) }),
    cutRoutes: (name, which) => space.drop(name, space.othersOf(name), which),
    cutClients: (name) => space.drop(name, [space.observer]),
    heal: () => space.heal(),
    close: async () => {
      process.off('exit', space.remove)
      space.remove()
    },
  }
}

class Namespaces {
  readonly #names: readonly string[]
  readonly #prefix = prefixOf(process.pid)
  readonly #hub = `${this.#prefix}-hub`
  /** Addresses for tests of networks (RFC 2544). */
  readonly #net = `198.18.${process.pid % 256}`
  readonly #hostLink = `pt${process.pid}`

  constructor(names: readonly string[]) {
    this.#names = names
  }

  /** The address of this process among the nodes. */
  get observer(): string {
    return `${this.#net}.254`
  }

  spaceOf(name: string): string {
    return `${this.#prefix}-${name}`
  }

  hostOf(name: string): string {
    return `${this.#net}.${this.#names.indexOf(name) + 1}`
  }

  othersOf(name: string): string[] {
    return this.#names.filter((other) => other !== name).map((other) => this.hostOf(other))
  }

  make(): void {
    const hub = this.#hub
    run('ip', 'netns', 'add', hub)
    run('ip', '-n', hub, 'link', 'add', 'bridge', 'type', 'bridge')
    run('ip', '-n', hub, 'link', 'set', 'bridge', 'up')
    run(
      'ip',
      '-n',
      hub,
      'link',
      'add',
      'host',
      'type',
      'veth',
      'peer',
      'name',
      this.#hostLink,
      'netns',
      String(process.pid),
    )
    run('ip', '-n', hub, 'link', 'set', 'host', 'master', 'bridge', 'up')
    run('ip', 'address', 'add', `${this.observer}/24`, 'dev', this.#hostLink)
    run('ip', 'link', 'set', this.#hostLink, 'up')
    for (const name of this.#names) {
      const space = this.spaceOf(name)
      run('ip', 'netns', 'add', space)
      run('ip', '-n', hub, 'link', 'add', name, 'type', 'veth', 'peer', 'name', 'eth0', 'netns', space)
      run('ip', '-n', hub, 'link', 'set', name, 'master', 'bridge', 'up')
      run('ip', '-n', space, 'address', 'add', `${this.hostOf(name)}/24`, 'dev', 'eth0')
      for (const link of ['lo', 'eth0']) run('ip', '-n', space, 'link', 'set', link, 'up')
    }
  }

  /** Loses what a node sends to these addresses and hears from them; one of the two where told. */
  drop(name: string, hosts: readonly string[], which?: 'outgoing' | 'incoming'): void {
    for (const host of hosts) {
      if (which !== 'outgoing') this.#filter(name, '-A', 'INPUT', '-s', host, '-j', 'DROP')
      if (which !== 'incoming') this.#filter(name, '-A', 'OUTPUT', '-d', host, '-j', 'DROP')
    }
  }

  heal(): void {
    for (const name of this.#names) this.#filter(name, '-F')
  }

  /** May be called again. A namespace takes its links, and their other ends, with it. */
  readonly remove = (): void => {
    for (const space of [this.#hub, ...this.#names.map((name) => this.spaceOf(name))])
      spawnSync('ip', ['netns', 'delete', space])
  }

  #filter(name: string, ...rule: readonly string[]): void {
    run('ip', 'netns', 'exec', this.spaceOf(name), 'iptables', '-w', ...rule)
  }
}

function prefixOf(pid: number): string {
  return `pelton-${pid}`
}

/** Removes what a process left that was killed. */
function sweep(): void {
  for (const line of run('ip', 'netns', 'list').split('\n')) {
    const [space = ''] = line.split(' ')
    const pid = /^pelton-(\d+)-/.exec(space)?.[1]
    if (pid !== undefined && !isAlive(Number(pid))) spawnSync('ip', ['netns', 'delete', space])
  }
}

function isAlive(pid: number): boolean {
  try {
    return process.kill(pid, 0)
  } catch {
    return false
  }
}

/** @throws Error with what the program said */
function run(program: string, ...parameters: readonly string[]): string {
  const { status, stdout, stderr, error } = spawnSync(program, parameters, { encoding: 'utf8' })
  if (error !== undefined) throw error
  if (status !== 0) throw new Error(`${program} ${parameters.join(' ')}: ${stderr.trim()}`)
  return stdout
}
