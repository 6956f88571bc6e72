import type { OpsStore } from '../../shared/operations/records/store.ts'

/**
 * Tells when a replay with no patience at all cannot keep its account: an answer about anything but an event did not
 * come. It only watches what passes.
 */
export function onAccountTrouble({ window, connection }: OpsStore, tell: () => void): void {
  const publish = window.publish.bind(window)
  window.publish = async (message) => {
    const reply = await publish(message)
    if (reply.kind === 'unknown' && !message.subject.startsWith('features.')) tell()
    return reply
  }
  const request = connection.request.bind(connection)
  connection.request = (subject, ...rest) =>
    request(subject, ...rest).catch((thrown: unknown) => {
      if (/STREAM\.(?:MSG\.DELETE|PURGE)/.test(subject)) tell()
      throw thrown
    })
}
