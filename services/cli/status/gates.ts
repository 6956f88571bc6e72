import type { NatsConnection } from '@nats-io/transport-node'
import { readDoorFacts } from '../../../shared/operations/gates/door-facts.ts'
import { type Gate, judgeGates } from '../../../shared/operations/gates/gates.ts'
import { showCount } from '../../../shared/runtime/quantities.ts'
import { type Lane, readRoute } from '../../../shared/sdk/contract/subjects.ts'
import { firstTen } from '../first-ten.ts'

/** A gate of the doors that is shut, by what the streams hold now. */
export interface ShutGate {
  /** The limit that is the reason. */
  readonly limit: string
  readonly lanes: readonly Lane[]
  /** The one model that it is shut for; absent where it is for all. */
  readonly pool?: string
  readonly model?: string
  /** From where on it is shut, and what was measured, in the unit of the limit. */
  readonly value: number
  readonly measured: number
  readonly because: string
}

/**
 * Which gates are shut, by this look alone: control has them open a little later.
 *
 * @param resendMs the resend horizon of producers, milliseconds
 * @returns undefined where it may not be read
 */
export async function readShutGates(
  connection: NatsConnection,
  resendMs: number,
): Promise<readonly ShutGate[] | undefined> {
  try {
    const { common, own } = judgeGates(await readDoorFacts(connection, resendMs))
    const ofOne = [...own].map(([subject, gate]) => shutGate(gate, readRoute(subject)))
    return [...common.filter(({ isShut }) => isShut).map((gate) => shutGate(gate)), ...ofOne]
  } catch {
    return undefined // streams and consumers are told without it
  }
}

function shutGate(
  { limit, lanes, value, measured, because }: Gate,
  route?: { readonly pool: string; readonly model: string },
): ShutGate {
  const { pool, model } = route ?? {}
  const whose = pool === undefined || model === undefined ? {} : { pool, model }
  return { limit, lanes, ...whose, value, measured, because }
}

/** For people: what doors refuse, and why. */
export function gateLines(gates: readonly ShutGate[] | undefined): readonly string[] {
  const { named, rest } = firstTen(gates ?? [])
  const lines = named.map(({ limit, lanes, pool, model, value, measured }) => {
    const which = lanes.length === 1 ? `lane ${lanes[0]}` : `lanes ${lanes.join(', ')}`
    const whose = model === undefined ? '' : ` of model ${model} (pool ${pool})`
    return `doors refuse ${which}${whose}: ${limit} is at ${showCount(measured)}, they do from ${showCount(value)} on`
  })
  if (rest.length > 0) lines.push(`and ${showCount(rest.length)} more; all with --json`)
  return lines.length === 0 ? [] : [...lines, '  See docs/runbooks/doors-refuse.md.']
}
