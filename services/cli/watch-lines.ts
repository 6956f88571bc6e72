import { parse } from 'lossless-json'
import { showDuration } from '../../shared/runtime/quantities.ts'
import { encodeResponse } from '../../shared/sdk/contract/open-inference.ts'
import type { StoredResult } from '../../shared/sdk/result.ts'
import type { Terminal } from './terminal.ts'

const SHOWN_VALUES = 8

/** A result in one line for people. */
export function describeResult(
  result: StoredResult,
  terminal: Pick<Terminal, 'good' | 'bad' | 'faint'>,
): string {
  const at = Number.isNaN(result.time.getTime()) ? '' : result.time.toISOString()
  const head = `${terminal.faint(at)} ${result.model} ${result.id}`
  if (result.kind === 'failure')
    return `${head} ${terminal.bad(result.reason)} ${result.description} ${terminal.faint(result.token)}`
  const values = result.outputs.map(({ name, data }) => {
    const shown = Array.from(data as ArrayLike<unknown>, String).slice(0, SHOWN_VALUES)
    return `${name}=${shown.join(',')}${data.length > SHOWN_VALUES ? ',…' : ''}`
  })
  const timing = `${showDuration(result.queueMs)} queued, ${result.batchRows} ${result.batchRows === 1 ? 'row' : 'rows'} in ${showDuration(result.inferenceMs)}`
  return `${head} ${terminal.good(values.join(' '))} ${terminal.faint(`v${result.modelVersion}, ${timing}`)}`
}

/** A result as plain fields; outputs as the Open Inference Protocol writes them. */
export function resultJson(result: StoredResult): Readonly<Record<string, unknown>> {
  const { kind, id, token, model, attempt, eventSequence } = result
  const common = {
    kind,
    id,
    token,
    model,
    time: result.time,
    attempt,
    eventSequence,
    traceparent: result.traceparent,
  }
  if (result.kind === 'failure') {
    const { reason, description, stage } = result
    return { ...common, reason, description, stage }
  }
  const { modelVersion, queueMs, inferenceMs, batchRows, degraded, cached, outputs } = result
  const { body } = encodeResponse({ modelName: model, modelVersion, outputs })
  const plain = parse(Buffer.from(body).toString()) as { readonly outputs: unknown }
  return {
    ...common,
    modelVersion,
    queueMs,
    inferenceMs,
    batchRows,
    degraded,
    cached,
    outputs: plain.outputs,
  }
}
