import { readFile } from 'node:fs/promises'
import { expect, test } from 'vitest'
import { ROOT } from './observability-files.ts'
import { sources } from './sources.ts'

/** What puts the prefix of a Pelton in front of names, and takes it off: nobody else speaks to the broker. */
const EDGE = 'shared/sdk/jetstream/'

/**
 * Who speaks to the broker past the edge, and why it may: each names subjects of Pelton itself by `namesOf`, or has none.
 * Acknowledgements and wake-ups go where their subject says, inboxes are the connection's own.
 */
const PAST_THE_EDGE: ReadonlyMap<string, 'names itself' | 'names none'> = new Map([
  ['services/cli/demo-view.ts', 'names itself'],
  ['services/control/flow/voice.ts', 'names itself'],
  ['services/control/watch/advisories.ts', 'names itself'],
  ['services/gateway/core/answers.ts', 'names none'],
  ['services/worker/flow/worker-flow.ts', 'names itself'],
  ['services/worker/intake/held.ts', 'names none'],
  ['services/worker/settle/register.ts', 'names itself'],
  ['shared/operations/broker/durability.ts', 'names none'],
  ['shared/operations/replay/in-flight.ts', 'names none'],
  ['shared/sdk/admission/admission.ts', 'names itself'],
  ['shared/sdk/reply-inbox.ts', 'names none'],
  ['shared/sdk/subscriber.ts', 'names none'],
  ['shared/sdk/wait-for.ts', 'names itself'],
])

/** A connection, or its data path, that is given a subject. */
const SPEAKS =
  /\b(?:\w*[cC]onnection|nats|path|client)\)?\??\.(?:publish|publishMessage|subscribe|request|requestMany|respondMessage)\(|\bdataPathOf\(|\bjetstream(?:Manager)?\(/

/** Code without its comments. */
function codeOf(text: string): string {
  return text.replaceAll(/\/\*[\s\S]*?\*\/|(?<=^|\s)\/\/[^\n]*/g, '')
}

test('what speaks to a broker is told from what does not', () => {
  const speaking = [
    ...['connection.subscribe(subject', "this.#connection.request('a')", 'dataPathOf(connection)'],
    ...['deps.connection.subscribe(`x`', 'jetstreamManager(connection)', 'path.publish(a)'],
  ]
  expect(speaking.filter((code) => !SPEAKS.test(code))).toEqual([])
  const silent = ['window.publish(message)', 'producer.request(event)', 'connection.flush()', 'process.on(a)']
  expect(silent.filter((code) => SPEAKS.test(code))).toEqual([])
})

test('names get their prefix in one folder: whoever speaks to the broker past it is on the list', async () => {
  const files = (await sources()).filter((file) => !file.startsWith(EDGE))
  const speaking: string[] = []
  const naming: string[] = []
  for (const file of files) {
    const code = codeOf(await readFile(`${ROOT}${file}`, 'utf8'))
    if (file.startsWith('shared/sdk/contract/') || !SPEAKS.test(code)) continue
    speaking.push(file)
    if (/\b(?:namesOf|claimNames)\(/.test(code)) naming.push(file)
  }
  expect(speaking.sort()).toEqual([...PAST_THE_EDGE.keys()].sort())
  const shouldName = [...PAST_THE_EDGE].flatMap(([file, how]) => (how === 'names itself' ? [file] : []))
  expect(naming.sort()).toEqual(expect.arrayContaining(shouldName))
})
