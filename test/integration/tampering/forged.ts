import { readEvent } from '../../../shared/sdk/contract/event.ts'
import { encodeHeaderBlock, HEADERS, type HeaderEntry } from '../../../shared/sdk/contract/headers.ts'
import { encodeLedgerRecord, type LedgerEntry } from '../../../shared/sdk/contract/ledger.ts'
import { deadLetterMessage, type OutgoingMessage } from '../../../shared/sdk/contract/outcome.ts'
import {
  encodeLines,
  failureNotice,
  type OutcomeMessage,
  predictionMessage,
} from '../../../shared/sdk/contract/register-message.ts'
import { subjects } from '../../../shared/sdk/contract/subjects.ts'
import { payloadDigest } from '../../../shared/sdk/contract/token.ts'
import { STREAMS } from '../../../shared/sdk/contract/topology.ts'
import { parseHeaderBlock } from '../../../shared/sdk/jetstream/stored-message.ts'
import { bodyOf, FACTS, ROUTE, SOURCE } from './history-stage.ts'
import type { Stored } from './stored.ts'

type Message = Pick<Stored, 'subject' | 'headerBlock' | 'body'>

/** The outcomes a worker would write of an event, which nobody published. */
export interface Forged {
  readonly token: string
  readonly prediction: Message
  readonly notice: Message
  readonly letter: Message
}

const FAILURE = { reason: 'inference-failed', description: 'forged', stage: 'infer' } as const

/** @param sequence of FEATURES that the outcomes say they come from */
export function forge(id: string, epoch: string, sequence: number): Forged {
  const subject = subjects.feature(ROUTE)
  const headers = new Map([
    [HEADERS.id.toLowerCase(), id],
    [HEADERS.source.toLowerCase(), SOURCE],
  ])
  const body = Buffer.from(bodyOf(id))
  const event = readEvent({ subject, headers, body, stream: STREAMS.features, epoch, sequence })
  const made = {
    worker: 'forger',
    at: Date.now(),
    deliveryCount: 1,
    storedAt: Date.now(),
    inputDigest: payloadDigest(body),
  }
  return {
    token: event.token,
    prediction: written(predictionMessage(event, FACTS, made, Buffer.from('{"outputs": []}'))),
    notice: written(failureNotice(event, FAILURE, made)),
    letter: encoded(deadLetterMessage(event, subject, FAILURE, made)),
  }
}

/** What is neither an outcome nor a record. */
export const JUNK = { headerBlock: new Uint8Array(), body: Buffer.from('junk') }

/** A record of the ledger that names one event of FEATURES. */
export function forgedRecord(epoch: string, entry: LedgerEntry, by = 'forger'): Message {
  const body = encodeLedgerRecord({ stream: STREAMS.features, epoch, by, entries: [entry] })
  return { subject: subjects.ledger('default'), headerBlock: new Uint8Array(), body }
}

function written(message: OutcomeMessage): Message {
  return { subject: message.subject, headerBlock: encodeLines(message), body: message.body }
}

function encoded({ subject, headers, body }: OutgoingMessage): Message {
  return { subject, headerBlock: encodeHeaderBlock(headers), body }
}

/** The same message, one header line changed. */
export function withHeader(stored: Stored, name: string, value: string): Stored {
  const text = Buffer.from(stored.headerBlock).toString('latin1')
  const entries = text.split('\r\n').slice(1).filter(Boolean)
  const changed = entries.map((line): HeaderEntry => {
    const at = line.indexOf(':')
    const own = line.slice(0, at)
    return [own, own.toLowerCase() === name.toLowerCase() ? value : line.slice(at + 1).trim()]
  })
  const headerBlock = encodeHeaderBlock(changed)
  return { ...stored, headerBlock, headers: parseHeaderBlock(headerBlock) }
}

/** The same message, one byte of its body changed. */
export function withOtherByte(stored: Stored, random: () => number): Stored {
  const body = Buffer.from(stored.body)
  const at = Math.floor(random() * body.length)
  body[at] = (body[at] ?? 0) ^ 1
  return { ...stored, body }
}
