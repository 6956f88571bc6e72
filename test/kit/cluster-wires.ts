import type { NodePlace } from './cluster-node.ts'
import { freePorts } from './ports.ts'
import { openTcpProxy, type TcpProxy, type Way } from './tcp-proxy.ts'

/** What the nodes of a cluster are joined by. */
export interface Network {
  placeOf(name: string): NodePlace
  /** Where its clients find a node, and where an observer does whom no cut concerns. */
  addressOf(name: string): { readonly url: string; readonly directUrl: string }
  cutRoutes(name: string, which?: 'outgoing' | 'incoming'): void
  cutClients(name: string): void
  heal(): void
  close(): Promise<void>
}

/** A wire from each node to each other one, and one to each node for its clients, all on the loopback interface. */
export async function openWires(names: readonly string[]): Promise<Network> {
  const ports = await freePorts(4 * names.length)
  /** Of its clients, its routes, its monitoring and its wire for clients. */
  const portsOf = (name: string): number[] => ports.slice(4 * names.indexOf(name)).slice(0, 4)
  const routes: { readonly from: string; readonly to: string; readonly wire: TcpProxy }[] = []
  const clients = new Map<string, TcpProxy>()
  for (const to of names) {
    const [clientPort = 0, routePort = 0, , wirePort = 0] = portsOf(to)
    clients.set(to, await openTcpProxy(clientPort, wirePort))
    for (const from of names) {
      if (from !== to) routes.push({ from, to, wire: await openTcpProxy(routePort) })
    }
  }
  const all = (): TcpProxy[] => [...clients.values(), ...routes.map(({ wire }) => wire)]
  return {
    addressOf: (name) => ({
      url: `nats://127.0.0.1:${clients.get(name)?.port}`,
      directUrl: `nats://127.0.0.1:${portsOf(name)[0]}`,
    }),
    placeOf: (name) => {
      const [clientPort = 0, routePort = 0, monitorPort = 0] = portsOf(name)
      const mine = routes.filter(({ from }) => from === name)
      return {
        ...{ host: '127.0.0.1', clientPort, routePort, monitorPort },
        routes: mine.map(({ wire }) => `127.0.0.1:${wire.port}`),
      }
    },
    cutRoutes: (name, which) => {
      // What a node says goes to the target of the wires it dialled, and comes from the target of the others'.
      for (const { from, to, wire } of routes) {
        if (from === name) wire.cut(...waysFor(which, 'to-target', 'from-target'))
        if (to === name) wire.cut(...waysFor(which, 'from-target', 'to-target'))
      }
    },
    cutClients: (name) => clients.get(name)?.cut(),
    heal: () => {
      for (const wire of all()) wire.heal()
    },
    close: async () => {
      await Promise.all(all().map((wire) => wire.close()))
    },
  }
}

function waysFor(which: 'outgoing' | 'incoming' | undefined, outgoing: Way, incoming: Way): Way[] {
  if (which === undefined) return [outgoing, incoming]
  return [which === 'outgoing' ? outgoing : incoming]
}
