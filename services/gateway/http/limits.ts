/** What bounds a listener: each is enforced before memory is taken for more. */
export interface ListenerLimits {
  /** Largest body once it is decompressed, bytes: what the broker takes of one message. @default 1 MiB */
  readonly bodyBytes: number
  /** Largest body of a request with `Content-Encoding`, as it is sent, bytes. @default 1 MiB */
  readonly compressedBytes: number
  /** Pieces that a body may come in: chunks, or what single packets bring. @default 16,384 */
  readonly bodyPieces: number
  /** Bodies of all requests that are not answered yet, as they are kept, bytes. Beyond it 503. @default 256 MiB */
  readonly heldBytes: number
  /** Request line and headers together, bytes. @default 16 KiB */
  readonly headerBytes: number
  /** @default 100 */
  readonly headerCount: number
  /** The path and what is asked after `?`, bytes. @default 8 KiB */
  readonly targetBytes: number
  /** Connections at the same time; more are closed unanswered. @default 10,000 */
  readonly connections: number
  /** Requests of one connection that wait for their answer (pipelining). @default 64 */
  readonly requestsAtOnce: number
  /** Requests of one connection before it is closed; 0 for no bound. @default 0 */
  readonly requestsPerConnection: number
  /** Arrival of the headers, from the first byte on, or from the connection on; also of a TLS handshake, milliseconds. @default 10 s */
  readonly headersMs: number
  /** Arrival of a whole request, milliseconds. @default 30 s */
  readonly requestMs: number
  /** How long a connection may bring no further request, milliseconds: longer than a proxy before it keeps one. @default 72 s */
  readonly keepAliveMs: number
  /** How long a client may take over what it is sent, milliseconds. @default 30 s */
  readonly takeMs: number
  /** How long a client may take to read the last answer before the connection is cut, milliseconds. @default 2 s */
  readonly lingerMs: number
}

const MEBIBYTE = 1024 ** 2

export const DEFAULT_LIMITS: ListenerLimits = {
  bodyBytes: MEBIBYTE,
  compressedBytes: MEBIBYTE,
  bodyPieces: 16_384,
  heldBytes: 256 * MEBIBYTE,
  headerBytes: 16 * 1024,
  headerCount: 100,
  targetBytes: 8 * 1024,
  connections: 10_000,
  requestsAtOnce: 64,
  requestsPerConnection: 0,
  headersMs: 10_000,
  requestMs: 30_000,
  keepAliveMs: 72_000,
  takeMs: 30_000,
  lingerMs: 2_000,
}
