import type { NatsConnection, ReconnectToServerHandler } from '@nats-io/transport-node'

/** Which server of a cluster a connection dials. */
export interface ServerChoice {
  /** For the client's option `reconnectToServer`. */
  readonly dial: ReconnectToServerHandler
  /** Addresses of all servers that are known but the one it is connected to. */
  others(connection: NatsConnection): readonly string[]
  /** The next dial goes to this address, one of {@link ServerChoice.others}. */
  prefer(address: string): void
}

/**
 * Dials the server that is preferred, else all in turn. The client itself tries the one it has just lost first, and a server
 * that is cut off lets it wait for the whole timeout.
 */
export function createServerChoice(): ServerChoice {
  const turns = new Map<string, number>()
  /** As the client knew them at its last dial. */
  let known: readonly string[] = []
  let preferred: string | undefined
  let turn = 0
  return {
    dial: (pool) => {
      known = pool.map(({ listen }) => listen)
      const wanted = pool.find(({ listen }) => listen === preferred)
      preferred = undefined
      const [chosen = null] =
        wanted === undefined ? [...pool].sort((a, b) => turnOf(a.listen) - turnOf(b.listen)) : [wanted]
      if (chosen !== null) turns.set(chosen.listen, ++turn)
      return chosen
    },
    others: (connection) => {
      const told = connection.info?.connect_urls ?? []
      const present = connection.getServer()
      return [...new Set([...known, ...told])].filter((address) => address !== present)
    },
    prefer: (address) => {
      preferred = address
    },
  }
  function turnOf(address: string): number {
    return turns.get(address) ?? 0
  }
}
