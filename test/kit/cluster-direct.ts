import type { Network } from './cluster-wires.ts'
import { freePorts } from './ports.ts'

/** Nodes that dial each other, on the loopback interface: nothing can be cut, and nothing is in the way of a measurement. */
export async function openDirect(names: readonly string[]): Promise<Network> {
  const ports = await freePorts(3 * names.length)
  const portsOf = (name: string): number[] => ports.slice(3 * names.indexOf(name)).slice(0, 3)
  const uncut = (): never => {
    throw new Error('this cluster has no wires that could be cut')
  }
  return {
    addressOf: (name) => {
      const url = `nats://127.0.0.1:${portsOf(name)[0]}`
      return { url, directUrl: url }
    },
    placeOf: (name) => {
      const [clientPort = 0, routePort = 0, monitorPort = 0] = portsOf(name)
      const others = names.filter((other) => other !== name)
      return {
        ...{ host: '127.0.0.1', clientPort, routePort, monitorPort },
        routes: others.map((other) => `127.0.0.1:${portsOf(other)[1]}`),
      }
    },
    cutRoutes: uncut,
    cutClients: uncut,
    heal: () => undefined,
    close: async () => undefined,
  }
}
