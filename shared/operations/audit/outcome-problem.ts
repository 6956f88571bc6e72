import type { SequenceRange } from '../broker/sequence-set.ts'
import { showRanges, toRanges } from '../broker/sequence-set.ts'

/** What a contradiction between the ledger and what is stored means, for people. A new kind begins with its row here. */
const PROBLEM_TEXTS = {
  'no-result': 'the ledger names an outcome, RESULTS has none',
  'no-dead-letter': 'given up, but its dead letter is gone',
  'other-outcome': 'RESULTS has another outcome than the ledger',
  'other-digest': 'what is stored is not what the ledger has the digest of',
  'answered-twice': 'its register has another outcome after its prediction',
  'noticed-twice': 'its register has another failure notice that no replay explains',
  both: 'it has a prediction and a dead letter, and no replay explains both',
  foreign: 'the ledger knows nothing of what is stored, though it reaches back to it',
  'unreadable-outcome': 'what lies in its register is no outcome',
} as const

/** Which contradiction. */
export type ProblemName = keyof typeof PROBLEM_TEXTS

/** The message that contradicts the ledger, where there is one. */
export interface MessagePlace {
  readonly stream: string
  readonly sequence: number
}

/** Something results or dead letters contradict the ledger in. */
export interface OutcomeProblem {
  readonly problem: ProblemName
  readonly token?: string
  /** Where the event lies, or lay; where nobody knows that any more, the message in question. */
  readonly stream?: string
  /** Creation time of the stream, where the token is known, or it is not the FEATURES of today. */
  readonly epoch?: string
  readonly sequence?: number
  readonly message?: MessagePlace
}

/** One line for each token, and one for all sequences with the same problem. */
export function problemLines(problems: readonly OutcomeProblem[]): string[] {
  const lines: string[] = []
  const unnamed = new Map<ProblemName, number[]>()
  for (const one of problems) {
    const { problem, sequence, token } = one
    if (token !== undefined) lines.push(namedLine(one, token))
    if (token !== undefined || sequence === undefined) continue
    const known = unnamed.get(problem)
    if (known === undefined) unnamed.set(problem, [sequence])
    else known.push(sequence)
  }
  for (const [problem, sequences] of unnamed)
    lines.push(`FEATURES ${showRanges(rangesOf(sequences))}: ${PROBLEM_TEXTS[problem]}`)
  return lines
}

function namedLine({ problem, stream, sequence, message }: OutcomeProblem, token: string): string {
  const where = stream === undefined ? '' : `${stream} ${sequence}, `
  const isElsewhere = message !== undefined && message.stream !== stream
  const what = isElsewhere ? ` (${message.stream} ${message.sequence})` : ''
  return `${where}token ${token}: ${PROBLEM_TEXTS[problem]}${what}`
}

function rangesOf(sequences: readonly number[]): SequenceRange[] {
  return toRanges([...sequences].sort((a, b) => a - b))
}
