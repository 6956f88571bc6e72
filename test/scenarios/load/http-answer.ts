import { HEADERS } from '../../../shared/sdk/contract/headers.ts'
import type { Answers } from './door.ts'

/** An answer over HTTP, read whole. */
export interface HttpAnswer {
  /** Whether the connection may be used again. */
  readonly keepsAlive: boolean
  /** Takes down what it says of an event. */
  tell(answers: Pick<Answers, 'predicted' | 'deadLetter' | 'refused' | 'doubted'>, index: number): void
}

const TOKEN = new RegExp(`^${HEADERS.token}: *(\\S+)`, 'im')

/** Reads an answer. @returns `undefined` where more of it is to come */
export function readAnswer(text: string): HttpAnswer | undefined {
  const end = text.indexOf('\r\n\r\n')
  if (end < 0) return undefined
  const head = text.slice(0, end)
  const length = Number(/^content-length: *(\d+)/im.exec(head)?.[1] ?? 0)
  if (text.length < end + 4 + length) return undefined
  const status = Number(text.slice(9, 12))
  return {
    keepsAlive: !/^connection: *close/im.test(head),
    tell: (answers, index) => {
      if (status === 200) answers.predicted(index)
      else tellProblem(answers, index, { status, head, body: text.slice(end + 4) })
    },
  }
}

interface Problem {
  readonly status: number
  readonly head: string
  readonly body: string
}

/** Of what a gateway says when it does not know whether the event was stored. */
const UNKNOWN_FATE = /^(?:timeout|broker-unavailable|closed)$/

/**
 * A dead letter names its reason; who waits no longer is told the token under which the answer will lie, where there is one.
 * Everything else is no event: refused, whatever for.
 */
function tellProblem(
  answers: Parameters<HttpAnswer['tell']>[0],
  index: number,
  { status, head, body }: Problem,
): void {
  const { reason, code } = membersOf(body)
  if (reason !== undefined) answers.deadLetter(index, reason)
  else if (status === 504 || UNKNOWN_FATE.test(code ?? ''))
    answers.doubted(index, `${status} ${code ?? ''}`.trim(), TOKEN.exec(head)?.[1])
  else answers.refused(index, `${status} ${code ?? ''}`.trim())
}

function membersOf(body: string): { readonly reason?: string; readonly code?: string } {
  try {
    const members = Object(JSON.parse(body)) as Readonly<Record<string, unknown>>
    const text = (name: string): Record<string, string> =>
      typeof members[name] === 'string' ? { [name]: members[name] } : {}
    return { ...text('reason'), ...text('code') }
  } catch {
    return {}
  }
}
