import { patterns } from '../../sdk/contract/patterns.ts'
import { type Names, ofLanes } from './names.ts'
import type { AccountName, Share } from './table.ts'

const CLIENTS: readonly AccountName[] = ['PRODUCERS', 'SUBSCRIBERS']

/** What the account of workers and control shares with those of producers and subscribers. */
export function sharesOf(names: Names): readonly Share[] {
  const { streams, api, subject } = names
  const asked = [...api('INFO'), ...api(`STREAM.MSG.GET.${streams.results}`)]
  return [
    ...services('to be asked whether JetStream is there, and for single results', CLIENTS, asked),
    ...services(
      'events',
      ['PRODUCERS'],
      ofLanes((lane) => [subject(patterns.features(lane))]),
    ),
    ...services('whether its server is cut off', ['PRODUCERS'], api(`STREAM.INFO.${streams.features}`)),
    ...names.producers.map((name) => hearing('wake-ups', `${names.inboxOf(names.userOf(name))}.>`)),
    hearing(
      'wake-ups of a producer that answers many callers: give its user the right to subscribe',
      subject(patterns.replies()),
    ),
    hearing('reserved, see the worker', subject(patterns.flow())),
    ...forSubscribers(names),
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

function services(
  why: string,
  to: readonly AccountName[],
  subjects: readonly string[],
  answers: Share['answers'] = 'one',
): readonly Share[] {
  return subjects.map((subject) => ({ kind: 'service', subject, to, answers, why }))
}

function hearing(why: string, subject: string): Share {
  return { kind: 'stream', subject, to: ['PRODUCERS'], answers: 'one', why }
}
