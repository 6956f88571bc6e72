import { createHash } from 'node:crypto'
import { readFile } from 'node:fs/promises'
import { createSecureContext, type SecureContextOptions, type Server } from 'node:tls'
import type { Logger } from 'pino'
import { messageOf, PeltonError } from '../../../shared/sdk/errors.ts'

/** Certificates of a listener: paths of files in PEM form. */
export interface ListenerTls {
  /** Its certificate, and those between it and its authority. */
  readonly certFile: string
  /** Its key, without a passphrase. */
  readonly keyFile: string
  /** Where given, clients need a certificate of one of these authorities (mutual TLS). */
  readonly caFile?: string | undefined
  /** How often the files are looked at for new ones, milliseconds. @default 10 s */
  readonly reloadMs?: number
}

const RELOAD_MS = 10_000

/** Certificates as they are now. */
export interface Certificates {
  give(server: Server): void
  stop(): void
}

/** What was read of the files, and by what it is known again. */
interface ReadCertificates {
  readonly context: SecureContextOptions
  readonly digest: string
}

/** @throws PeltonError `invalid-configuration` for what cannot be read or does not belong together */
async function readCertificates({ certFile, keyFile, caFile }: ListenerTls): Promise<ReadCertificates> {
  const cert = await readNamed('PELTON_GATEWAY_TLS_CERT', certFile)
  const key = await readNamed('PELTON_GATEWAY_TLS_KEY', keyFile)
  const ca = caFile === undefined ? undefined : await readNamed('PELTON_GATEWAY_TLS_CA', caFile)
  const context = { cert, key, ...(ca !== undefined && { ca }) }
  try {
    createSecureContext(context)
  } catch (cause) {
    throw unusable('PELTON_GATEWAY_TLS_CERT, PELTON_GATEWAY_TLS_KEY', `${certFile}, ${keyFile}`, cause)
  }
  const hash = createHash('sha256')
  for (const each of [cert, key, ca ?? '']) hash.update(each).update('\0')
  return { context, digest: hash.digest('hex') }
}

async function readNamed(field: string, path: string): Promise<Buffer> {
  return readFile(path).catch((cause: unknown) => {
    throw unusable(field, path, cause)
  })
}

function unusable(field: string, value: string, cause: unknown): PeltonError {
  return new PeltonError(
    'invalid-configuration',
    `TLS cannot be set up: ${messageOf(cause)}`,
    { field, value, remedy: 'Name files in PEM form that belong together, the key without a passphrase.' },
    cause,
  )
}

/**
 * Gives servers their certificates, and new ones when the files change: connections that are there keep theirs. Files
 * that cannot be used, half-written ones too, change nothing.
 *
 * @throws PeltonError `invalid-configuration` where the first ones cannot be used
 */
export async function useCertificates(
  servers: () => readonly Server[],
  files: ListenerTls,
  log: Logger,
): Promise<Certificates> {
  let { context, digest } = await readCertificates(files)
  for (const server of servers()) server.setSecureContext(context)
  const look = async (): Promise<void> => {
    const now = await readCertificates(files)
    if (now.digest === digest) return
    ;({ context, digest } = now)
    for (const server of servers()) server.setSecureContext(context)
    log.info({ certFile: files.certFile }, 'certificates are new, and used from now on')
  }
  let told = ''
  const timer = setInterval(() => {
    look().then(
      () => {
        told = ''
      },
      (error: unknown) => {
        const text = messageOf(error)
        if (text !== told) log.error({ err: error }, 'new certificates cannot be used; the old ones stay')
        told = text
      },
    )
  }, files.reloadMs ?? RELOAD_MS).unref()
  return { give: (server) => server.setSecureContext(context), stop: () => clearInterval(timer) }
}
