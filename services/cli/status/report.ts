import type { DrainPace } from '../../../shared/operations/broker/drain-pace.ts'
import type { StatusSnapshot } from '../../../shared/operations/broker/snapshot.ts'
import { showBytes, showCount, showDuration, showShare } from '../../../shared/runtime/quantities.ts'

/** A status for people: a headline, then tables of streams, consumers and dead letters. */
export function statusTables(snapshot: StatusSnapshot, pace: DrainPace): readonly (readonly string[])[][] {
  const { streams, consumers, deadLetters } = snapshot
  const tables: (readonly string[])[][] = [
    [
      ['STREAM', 'MESSAGES', 'SIZE', 'FULL'],
      ...streams.map((stream) => [
        stream.name,
        stream.isMissing ? 'missing: run `pelton provision`' : showCount(stream.messages),
        stream.isMissing ? '' : showBytes(stream.bytes),
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
    const models = Object.entries(deadLetters.byModel).map(([model, count]) => [model, showCount(count)])
    const more = deadLetters.isComplete ? [] : [['…', 'more: not all were counted']]
    tables.push([['DEAD LETTERS OF', 'COUNT'], ...models, ...more])
  }
  return [[[headline(snapshot, pace)]], ...tables]
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
