import { patterns } from '../../sdk/contract/patterns.ts'
import { subjects } from '../../sdk/contract/subjects.ts'
import { lanesOf, type Names, ofLanes, type Publisher } from './names.ts'
import { following } from './role-parts.ts'
import type { AccountName, Share } from './table.ts'

const CLIENTS: readonly AccountName[] = ['PRODUCERS', 'SUBSCRIBERS', 'GATEWAYS']
const PUBLISHERS: readonly AccountName[] = ['PRODUCERS', 'GATEWAYS']

/** What the account of workers and control shares with the others. A subject may stand in it several times. */
export function sharesOf(names: Names): readonly Share[] {
  const { streams, api } = names
  const asked = [...api('INFO'), ...api(`STREAM.MSG.GET.${streams.results}`)]
  return [
    ...services('to be asked whether JetStream is there, and for single results', CLIENTS, asked),
    ...events(names, 'PRODUCERS', names.producers),
    ...events(names, 'GATEWAYS', names.gateways),
    ...services('whether its server is cut off', PUBLISHERS, api(`STREAM.INFO.${streams.features}`)),
    ...forProducers(names),
    ...forSubscribers(names),
    ...forGateways(names),
  ]
}

function events(
  { subject }: Names,
  account: AccountName,
  publishers: readonly Publisher[],
): readonly Share[] {
  const lanes = ofLanes((lane) => [subject(patterns.features(lane))], lanesOf(publishers))
  return services('events', [account], lanes)
}

function forProducers(names: Names): readonly Share[] {
  const { subject } = names
  return [
    ...wakeUps(names, 'PRODUCERS', names.producers),
    hearing(
      'wake-ups of a producer that answers many callers: give its user the right to subscribe',
      'PRODUCERS',
      subject(patterns.replies()),
    ),
    flows(names, 'PRODUCERS'),
  ]
}

function forSubscribers({ streams: { results }, api }: Names): readonly Share[] {
  const to: readonly AccountName[] = ['SUBSCRIBERS']
  const consumers = ['CREATE.{results}.>', 'INFO.{results}.*', 'DELETE.{results}.*']
  return [
    ...services('whether its server is cut off', to, api(`STREAM.INFO.${results}`)),
    ...services(
      'consumers of its own',
      to,
      consumers.flatMap((request) => api(`CONSUMER.${request.replace('{results}', results)}`)),
    ),
    ...services('results', to, api(`CONSUMER.MSG.NEXT.${results}.*`), 'many'),
    ...services('acknowledgements', to, [`$JS.ACK.${results}.>`]),
  ]
}

function forGateways(names: Names): readonly Share[] {
  const { streams, stores, api, subject } = names
  const to: readonly AccountName[] = ['GATEWAYS']
  const followed = [
    following(names, stores.models, subjects.allPoolRecords()),
    following(names, stores.keys, subjects.apiKeys()),
  ].flat()
  const isPull = (each: string): boolean => each.includes('.CONSUMER.MSG.NEXT.')
  return [
    ...services('whether its server is cut off', to, api(`STREAM.INFO.${streams.results}`)),
    ...wakeUps(names, 'GATEWAYS', names.gateways),
    flows(names, 'GATEWAYS'),
    ...services(
      'to be asked for single events',
      to,
      [streams.features, streams.retries].flatMap((stream) => api(`STREAM.MSG.GET.${stream}`)),
    ),
    ...services('how much waits in a lane', to, api(`CONSUMER.INFO.${streams.features}.*`)),
    ...services(
      'consumers of its own, on what the pools serve and on API keys',
      to,
      followed.filter((each) => !isPull(each)),
    ),
    ...services('what the pools serve, and API keys', to, followed.filter(isPull), 'many'),
    ...services('to be asked for the last change of an API key', to, api(`STREAM.MSG.GET.${stores.keys}`)),
    ...services('what gateways keep of requests', to, [
      ...api(`STREAM.MSG.GET.${stores.requests}`),
      subject(patterns.gatewayRecords()),
    ]),
  ]
}

function services(
  why: string,
  to: readonly AccountName[],
  shared: readonly string[],
  answers: Share['answers'] = 'one',
): readonly Share[] {
  return shared.map((subject) => ({ kind: 'service', subject, to, answers, why }))
}

function wakeUps(names: Names, account: AccountName, publishers: readonly Publisher[]): readonly Share[] {
  return publishers.map(({ user }) => hearing('wake-ups', account, `${names.inboxOf(names.userOf(user))}.>`))
}

function flows({ subject }: Names, account: AccountName): Share {
  return hearing('how busy the pools are', account, subject(patterns.flow()))
}

function hearing(why: string, to: AccountName, subject: string): Share {
  return { kind: 'stream', subject, to: [to], answers: 'one', why }
}
