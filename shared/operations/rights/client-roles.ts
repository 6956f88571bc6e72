import { patterns } from '../../sdk/contract/patterns.ts'
import { LANES, subjects } from '../../sdk/contract/subjects.ts'
import { type Names, ofLanes, type Publisher } from './names.ts'
import { each, following, listening, named, right } from './role-parts.ts'
import type { Right, UserRights } from './table.ts'

export function producerRights(names: Names, publisher: Publisher): UserRights {
  const { streams, api } = names
  const me = named(names, publisher.user)
  return {
    ...me,
    role: 'producer',
    account: 'PRODUCERS',
    about: ['Publishes events, and asks for their outcomes.'],
    publish: [
      publishing(names, publisher),
      right('whether its server is cut off', api('INFO'), api(`STREAM.INFO.${streams.features}`)),
      right('reads an outcome whose wake-up got lost', api(`STREAM.MSG.GET.${streams.results}`)),
    ],
    subscribe: listening(me, hearingFlows(names)),
  }
}

export function gatewayRights(names: Names, publisher: Publisher): UserRights {
  const { streams, stores, api, subject } = names
  const me = named(names, publisher.user)
  return {
    ...me,
    role: 'gateway',
    account: 'GATEWAYS',
    about: ['Gateways: makes events of requests, and finds what became of them.'],
    publish: [
      publishing(names, publisher),
      right(
        'whether its server is cut off, how long outcomes are kept',
        api('INFO'),
        each(names, [streams.features, streams.results], 'STREAM.INFO.{stream}'),
      ),
      right(
        'looks up what became of an event',
        each(names, [streams.results, streams.features, streams.retries], 'STREAM.MSG.GET.{stream}'),
      ),
      right('how much is ahead of an event', each(names, [streams.features], 'CONSUMER.INFO.{stream}.*')),
      right('follows what the pools serve', following(names, stores.models, subjects.allPoolRecords())),
      right(
        'follows API keys, and makes sure that it missed none',
        following(names, stores.keys, subjects.apiKeys()),
        api(`STREAM.MSG.GET.${stores.keys}`),
      ),
      right('remembers requests with an idempotency key', api(`STREAM.MSG.GET.${stores.requests}`), [
        subject(patterns.gatewayRecords()),
      ]),
    ],
    subscribe: listening(me, hearingFlows(names)),
  }
}

export function subscriberRights(names: Names, name: string): UserRights {
  const { streams, api } = names
  const me = named(names, name)
  const results = [streams.results]
  return {
    ...me,
    role: 'subscriber',
    account: 'SUBSCRIBERS',
    about: ['Reads results, through consumers of its own.'],
    publish: [
      right('how RESULTS stands', api('INFO'), each(names, results, 'STREAM.INFO.{stream}')),
      right('single results', each(names, results, 'STREAM.MSG.GET.{stream}')),
      right(
        'its consumers',
        each(names, results, 'CONSUMER.CREATE.{stream}.>', 'CONSUMER.INFO.{stream}.*'),
        each(names, results, 'CONSUMER.DELETE.{stream}.*', 'CONSUMER.MSG.NEXT.{stream}.*'),
      ),
      right('acknowledges', [`$JS.ACK.${streams.results}.>`]),
    ],
    subscribe: listening(me),
  }
}

/** Of every pool: whoever publishes may name any. */
function hearingFlows({ subject }: Names): Right {
  return right('how busy the pools are', [subject(patterns.flow())])
}

/** Events in the lanes of one that publishes them. */
function publishing({ subject }: Names, { lanes }: Publisher): Right {
  const some = `the ${lanes.length === 1 ? 'lane' : 'lanes'} ${lanes.join(' and ')}`
  const which = lanes.length === LANES.length ? 'the three lanes' : some
  return right(
    `events, in ${which}`,
    ofLanes((lane) => [subject(patterns.features(lane))], lanes),
  )
}
