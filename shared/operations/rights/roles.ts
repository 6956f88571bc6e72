import { patterns } from '../../sdk/contract/patterns.ts'
import { encodeSegment, subjects } from '../../sdk/contract/subjects.ts'
import { dueConsumer, featureConsumer } from '../../sdk/contract/topology.ts'
import { type Names, ofLanes } from './names.ts'
import { each, following, listening, named, right } from './role-parts.ts'
import type { Right, UserRights } from './table.ts'

/** What reading a stream through an own consumer takes. */
const READING = [
  'CONSUMER.CREATE.{stream}',
  'CONSUMER.CREATE.{stream}.>',
  'CONSUMER.MSG.NEXT.{stream}.*',
  'CONSUMER.DELETE.{stream}.*',
] as const

export function adminRights(names: Names): UserRights {
  const me = named(names, 'admin')
  return {
    ...me,
    role: 'admin',
    account: 'PELTON',
    about: [
      'Makes and changes streams and consumers: `pelton provision`, and a person with the `nats` command',
      `(\`nats --inbox-prefix ${me.inbox}\`). Publishes no event, no outcome and no ledger record.`,
    ],
    publish: names.isAlone ? [right('anything of JetStream', names.api('>'))] : administering(names),
    subscribe: listening(me),
  }
}

/** Whatever there is to ask about one Pelton's own streams, each request by its name: others' streams are not its business. */
function administering(names: Names): readonly Right[] {
  const all = [...Object.values(names.streams), ...Object.values(names.stores), names.artifacts]
  return [
    right(
      'the account, and what is on it',
      names.api('INFO'),
      names.api('STREAM.NAMES'),
      names.api('STREAM.LIST'),
    ),
    right(
      'its streams',
      each(names, all, 'STREAM.*.{stream}', 'STREAM.MSG.*.{stream}', 'STREAM.LEADER.STEPDOWN.{stream}'),
      each(names, all, 'STREAM.PEER.REMOVE.{stream}'),
    ),
    right(
      'their consumers',
      each(names, all, 'CONSUMER.*.{stream}', 'CONSUMER.*.{stream}.>', 'CONSUMER.MSG.NEXT.{stream}.*'),
      each(names, all, 'CONSUMER.LEADER.STEPDOWN.{stream}.*'),
    ),
  ]
}

export function controlRights(names: Names): UserRights {
  const { streams, subject } = names
  const me = named(names, 'control')
  return {
    ...me,
    role: 'control',
    account: 'PELTON',
    about: [
      'Status, doctor, audit, dead letters, replay. Creates readers on what it reads, never on FEATURES or RETRIES.',
    ],
    publish: [...looking(names), ...mending(names), ...writing(names)],
    subscribe: listening(
      me,
      right('how busy the pools are', [subject(patterns.flow())]),
      right('what the broker gave up on', [streams.features, streams.retries].flatMap(subjects.advisories)),
    ),
  }
}

function looking(names: Names): readonly Right[] {
  const { streams, stores, api } = names
  const all = [...Object.values(streams), ...Object.values(stores)]
  return [
    right(
      'how the account and its streams stand',
      api('INFO'),
      each(names, [...all, names.artifacts], 'STREAM.INFO.{stream}'),
    ),
    right('how consumers stand', each(names, all, 'CONSUMER.LIST.{stream}', 'CONSUMER.INFO.{stream}.*')),
    right('single messages', each(names, all, 'STREAM.MSG.GET.{stream}')),
    right(
      'reads the ledger, results, dead letters and the records of operators',
      each(names, [streams.ledger, streams.results, streams.deadLetters, stores.replays], ...READING),
    ),
    right(
      'reads what the pools serve',
      each(names, [stores.models], 'CONSUMER.CREATE.{stream}.>', 'CONSUMER.MSG.NEXT.{stream}.*'),
    ),
  ]
}

function mending(names: Names): readonly Right[] {
  const { streams, stores, api } = names
  return [
    right('revives orphans', each(names, [streams.features, streams.retries], 'CONSUMER.RESET.{stream}.*')),
    right(
      'removes dead letters, and records that are over',
      api(`STREAM.MSG.DELETE.${streams.deadLetters}`),
      api(`STREAM.PURGE.${stores.replays}`),
    ),
    right('forgets the start marks of what it replays', api(`STREAM.PURGE.${stores.starts}`)),
  ]
}

function writing({ subject }: Names): readonly Right[] {
  return [
    right(
      'replays into the lanes',
      ofLanes((lane) => [subject(patterns.features(lane))]),
    ),
    right('imports dead letters, and writes down what operators did', [
      subject(subjects.deadLetterFilter()),
      subject(subjects.allLedger()),
    ]),
    right('readmits a model, and says what doors do with its events', [subject(patterns.modelRecords())]),
    right('what waits for a model, and what doors have to refuse', [subject(patterns.flow())]),
    right('makes and revokes API keys of gateways', [subject(subjects.apiKeys())]),
    right('keeps its records, the floor of the audit, and what was removed', [
      subject(patterns.replayRecords()),
      subject(subjects.auditFloor()),
      subject(patterns.removalMarks()),
    ]),
  ]
}

export function workerRights(names: Names, pool: string): UserRights {
  const me = named(names, pool === 'default' ? 'worker' : `worker-${pool.replaceAll(/[^A-Za-z0-9_-]/g, '_')}`)
  return {
    ...me,
    role: 'worker',
    account: 'PELTON',
    about: [
      `Workers of the pool \`${encodeSegment(pool)}\`. A worker never gets the events of another pool.`,
    ],
    publish: [...pulling(names, pool), ...settling(names, pool), ...serving(names, pool)],
    subscribe: listening(me),
  }
}

function pulling(names: Names, pool: string): readonly Right[] {
  const { streams, stores, api } = names
  const stood = [streams.features, streams.retries, streams.results, streams.deadLetters, streams.ledger]
  const consumers = ofLanes((lane) => [
    `${streams.features}.${featureConsumer(pool, lane).durable_name}`,
    `${streams.retries}.${dueConsumer(pool, lane).durable_name}`,
  ])
  return [
    right('how the streams stand', api('INFO'), each(names, stood, 'STREAM.INFO.{stream}')),
    right(
      'whether an event was answered, and ran before',
      each(names, [streams.results, streams.deadLetters, stores.starts], 'STREAM.MSG.GET.{stream}'),
    ),
    right(
      'pulls the lanes of its pool',
      consumers.flatMap((each) => [...api(`CONSUMER.INFO.${each}`), ...api(`CONSUMER.MSG.NEXT.${each}`)]),
    ),
    right(
      'acknowledges',
      consumers.map((each) => `$JS.ACK.${each}.>`),
    ),
  ]
}

function settling(names: Names, pool: string): readonly Right[] {
  const { subject, producers, gateways } = names
  const publishers = [...producers, ...gateways].map(({ user }) => user)
  const askers = [...publishers, 'control'].map((role) => `${names.inboxOf(names.userOf(role))}.>`)
  return [
    right('outcomes', [subject(subjects.resultFilter()), subject(subjects.deadLetterFilter())]),
    right('retries, ledger records, start marks', [
      subject(patterns.retries(pool)),
      subject(subjects.ledger(pool)),
      subject(patterns.startMarks()),
    ]),
    right('wake-ups, to those who may ask for them', [...askers, subject(patterns.replies())]),
    right('how busy its pool is', [subject(patterns.flow(pool))]),
  ]
}

function serving(names: Names, pool: string): readonly Right[] {
  const { stores, subject, api } = names
  return [
    right(
      'reads what its pool serves',
      api(`STREAM.MSG.GET.${stores.models}`),
      following(names, stores.models, subjects.poolRecords(pool)),
    ),
    right('says what it serves, and that it is alive', [
      subject(patterns.modelRecords(pool)),
      subject(patterns.workerPresences(pool)),
    ]),
  ]
}

export function monitorRights(inboxPrefix: string): UserRights {
  const me = { user: 'monitor', inbox: `${inboxPrefix}.monitor` }
  return {
    ...me,
    role: 'monitor',
    account: 'SYS',
    about: ['Watches the servers themselves: sizes, connections, routes.'],
    publish: [right('the state of servers', ['$SYS.REQ.SERVER.PING', '$SYS.REQ.SERVER.PING.*'])],
    subscribe: listening(me),
  }
}
