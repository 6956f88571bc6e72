import { connect, type Socket } from 'node:net'

/**
 * A connection for one request at a time, whose answers have a `Content-Length`: written by hand onto a bare socket, because it
 * shares the cores with who answers.
 *
 * @param onAnswer told each answer, head and body, in Latin-1
 */
export function openHttpConnection({ hostname, port }: URL, onAnswer: (text: string) => void): Socket {
  const socket = connect(Number(port), hostname).setNoDelay(true)
  let rest = ''
  socket.on('data', (chunk) => {
    rest += chunk.toString('latin1')
    const head = rest.indexOf('\r\n\r\n')
    const length = Number(/content-length: (\d+)/i.exec(rest)?.[1])
    if (head < 0 || rest.length < head + 4 + length) return
    const text = rest
    rest = ''
    onAnswer(text)
  })
  return socket
}
