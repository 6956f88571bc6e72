import { CONTRACT_VERSION } from '../../../shared/sdk/contract/event.ts'
import { HEADERS } from '../../../shared/sdk/contract/headers.ts'

/** An event that waits for its run. */
export interface Waiting {
  /** As the headers have it: ASCII. */
  readonly id: string
  readonly token: string
  /** Where its delivery is acknowledged. */
  readonly ack: string
  /** In FEATURES. */
  readonly sequence: string
  readonly features: Readonly<Record<string, unknown>>
}

/** What all answers of one batch have in common. */
export interface BatchFacts {
  readonly at: Date
  readonly inferenceMs: number
  readonly rows: number
}

export interface AnswerTexts {
  /** A command that stores the answer of an event, if its register is empty. */
  answer(event: Waiting, outputs: string, facts: string, inbox: string): string
  /** The headers that all answers of a batch have in common. */
  facts(batch: BatchFacts): string
}

/** Subjects end where the token begins: `results.<model>.`. */
export interface AnswerFor {
  readonly model: string
  readonly version: string
  readonly subject: string
  /** Creation time of FEATURES. */
  readonly epoch: string
  readonly worker: string
}

const lines = (entries: readonly (readonly [string, string])[]): string =>
  entries.map(([name, value]) => `${name}: ${value}\r\n`).join('')

/** Twenty headers, of which all but five are the same for a batch; the digest of the input is not made. */
export function answerTexts({ model, version, subject, epoch, worker }: AnswerFor): AnswerTexts {
  const always = lines([
    [HEADERS.contract, CONTRACT_VERSION],
    [HEADERS.specVersion, '1.0'],
    [HEADERS.source, `/pelton/models/${model}`],
    [HEADERS.outcome, 'prediction'],
    [HEADERS.attempt, '1'],
    [HEADERS.inputDigest, 'abcdefghijklmnopqrstuv'],
    [HEADERS.worker, worker],
    [HEADERS.type, 'pelton.prediction'],
    [HEADERS.dataContentType, 'application/json'],
    [HEADERS.modelVersion, version],
    [HEADERS.expectedSubjectSequence, '0'],
  ])
  const body = `{"model_name":"${model}","model_version":"${version}","id":"`
  const { id, correlationId, causationId, token, origin } = HEADERS
  return {
    facts: ({ at, inferenceMs, rows }) =>
      `NATS/1.0\r\n${always}${lines([
        [HEADERS.time, at.toISOString()],
        [HEADERS.queueMs, '1.0'],
        [HEADERS.inferenceMs, inferenceMs.toFixed(2)],
        [HEADERS.batchRows, String(rows)],
      ])}`,
    answer(event, outputs, facts, inbox) {
      const headers =
        `${facts}${id}: ${event.token}-${event.sequence}\r\n${correlationId}: ${event.id}\r\n` +
        `${causationId}: ${event.id}\r\n${token}: ${event.token}\r\n` +
        `${origin}: FEATURES ${epoch} ${event.sequence}\r\n\r\n`
      const payload = `${body}${event.id}","outputs":[${outputs}]}`
      return `HPUB ${subject}${event.token} ${inbox} ${headers.length} ${headers.length + payload.length}\r\n${headers}${payload}\r\n`
    },
  }
}

/** One for each batch: which events of FEATURES were predicted, without the digests of their answers. */
export function ledgerText(batch: readonly Waiting[], { epoch, worker }: AnswerFor): string {
  const sequences = batch.map(({ sequence }) => Number(sequence))
  const first = Math.min(...sequences)
  const last = Math.max(...sequences)
  const isRow = last - first + 1 === sequences.length
  const predicted = isRow ? `${first}-${last}` : sequences.sort((a, b) => a - b).join(',')
  return `{"v":1,"stream":"FEATURES","epoch":"${epoch}","by":"${worker}","predicted":"${predicted}"}`
}
