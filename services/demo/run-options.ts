import {
  brokerOptions,
  brokerSettings,
  checkBrokerSettings,
  readSettings,
} from '../../shared/runtime/config.ts'
import { PeltonError, showValue } from '../../shared/sdk/errors.ts'

/** One run of the demo whose producer and subscriber are processes of their own: both know it by these two. */
export interface DemoRun {
  readonly flights: number
  readonly name: string
}

/**
 * Reads `--flights` and `--run`.
 *
 * @throws PeltonError `invalid-argument`
 */
export function readRun(options: { readonly flights?: string; readonly run?: string }): DemoRun {
  const { flights = '20000', run = 'first' } = options
  if (!/^[1-9]\d{0,6}$/.test(flights))
    throw unusable('--flights', flights, 'Give a whole number from 1 to 9999999.')
  if (!/^[A-Za-z0-9_-]{1,64}$/.test(run))
    throw unusable('--run', run, 'Give at most 64 characters of [A-Za-z0-9_-].')
  return { flights: Number(flights), name: run }
}

/** CloudEvents source of a run, part of each event's identity: the same run again is answered only once. */
export function runSource({ name }: DemoRun): string {
  return `demo/flights/${name}`
}

/** How to reach the broker, from the environment. @throws PeltonError `invalid-configuration` */
export function connectionOf(name: string) {
  return brokerOptions(checkBrokerSettings(readSettings(brokerSettings, process.env)), name)
}

function unusable(field: string, value: string, remedy: string): PeltonError {
  return new PeltonError('invalid-argument', 'this option cannot be used', {
    field,
    value: showValue(value),
    remedy,
  })
}
