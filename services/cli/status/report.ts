import { resumeRemedy } from '../../../shared/operations/broker/consumer-list.ts'
import type { DrainPace } from '../../../shared/operations/broker/drain-pace.ts'
import type { ReplicaTrouble } from '../../../shared/operations/broker/replicas.ts'
import type { StatusSnapshot, StreamStatus } from '../../../shared/operations/broker/snapshot.ts'
import { showBytes, showCount, showDuration, showShare } from '../../../shared/runtime/quantities.ts'
import { type Names, PLAIN_NAMES } from '../../../shared/sdk/contract/names.ts'
import { firstTen } from '../first-ten.ts'

/** A status for people: a headline, then tables of streams, consumers and dead letters. */
export function statusTables(
  snapshot: StatusSnapshot,
  pace: DrainPace,
  names: Pick<Names, 'stream'> = PLAIN_NAMES,
): readonly (readonly string[])[][] {
  const { streams, consumers, deadLetters } = snapshot
  const tables: (readonly string[])[][] = [
    [
      ['STREAM', 'MESSAGES', 'SIZE', 'FULL'],
      ...streams.map((stream) => [
        names.stream(stream.name),
        countOf(stream),
        stream.isMissing || !stream.isLed ? '' : showBytes(stream.bytes),
        stream.full === undefined ? '' : `${showShare(stream.full)} of ${stream.limit}`,
      ]),
    ],
    [
      ['CONSUMER', 'PENDING', 'IN FLIGHT', 'REDELIVERED', 'IDLE PULLS'],
      ...consumers.map((consumer) => [
        consumer.name,
        ...[consumer.pending, consumer.inFlight, consumer.redelivered, consumer.waitingPulls].map(showCount),
      ]),
    ],
  ]
  if (deadLetters.total > 0) {
    const { named, rest } = firstTen(Object.entries(deadLetters.byModel))
    const models = named.map(([model, count]) => [model, showCount(count)])
    const others = sum(rest.map(([, count]) => count))
    if (rest.length > 0) models.push([`and ${showCount(rest.length)} more`, showCount(others)])
    const more = deadLetters.isComplete ? [] : [['…', 'more: not all were counted']]
    tables.push([['DEAD LETTERS OF', 'COUNT'], ...models, ...more])
  }
  return [[[headline(snapshot, pace)]], ...tables]
}

function countOf({ isMissing, isLed, messages }: StreamStatus): string {
  if (isMissing) return 'missing: run `pelton provision`'
  return isLed ? showCount(messages) : 'not known: no leader answers'
}

/** What is wrong with servers and replicas, each with what to do. */
export function troubleLines(troubles: readonly ReplicaTrouble[]): readonly string[] {
  const { named, rest } = firstTen(troubles)
  const lines = named.flatMap(({ text, remedy }) => [text, `  ${remedy}`])
  return rest.length === 0 ? lines : [...lines, `and ${showCount(rest.length)} more; all with --json`]
}

/** Each consumer somebody paused: it hands out nothing, and nobody else says so. */
export function pausedLines({ consumers }: Pick<StatusSnapshot, 'consumers'>): readonly string[] {
  return consumers.flatMap(({ stream, name, pausedUntil }) =>
    pausedUntil === undefined
      ? []
      : [`${name} is paused until ${pausedUntil}: its events wait`, `  ${resumeRemedy(stream, name)}`],
  )
}

function headline({ backlog, retriesScheduled, deadLetters }: StatusSnapshot, pace: DrainPace): string {
  const wait =
    backlog === 0
      ? 'no backlog'
      : `backlog ${showCount(backlog)} events, ${pace.backlogSeconds === undefined ? 'nothing is being answered' : showDuration(pace.backlogSeconds * 1_000)}`
  return [
    wait,
    `${showCount(pace.resultsPerSecond)} results/s`,
    `${showCount(retriesScheduled)} retries waiting`,
    `${showCount(deadLetters.total)} dead letters`,
  ].join(' · ')
}

function sum(counts: readonly number[]): number {
  return counts.reduce((total, count) => total + count, 0)
}
