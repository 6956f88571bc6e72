import { createPrivateKey, X509Certificate } from 'node:crypto'
import { isIP } from 'node:net'
import { checkServerIdentity, type PeerCertificate } from 'node:tls'
import type { NodeConnectionOptions } from '@nats-io/transport-node'
import { showValue } from '../errors.ts'
import { type Naming, type TlsFiles, unusable } from './security.ts'
import { readSecurityFile } from './security-file.ts'

/** What the files hold now. */
export interface TlsMaterial {
  readonly ca?: Buffer
  readonly cert?: Buffer
  readonly key?: Buffer
}

/**
 * Reads the files of TLS and checks that each is what it should be, and that key and certificate are a pair.
 *
 * @throws PeltonError by {@link unusable}
 */
export function readTlsFiles({ caFile, certFile, keyFile }: TlsFiles, naming: Naming): TlsMaterial {
  const ca = caFile === undefined ? undefined : readCertificate('tls.caFile', caFile, naming)
  if (certFile === undefined || keyFile === undefined) return ca === undefined ? {} : { ca: ca.bytes }
  const cert = readCertificate('tls.certFile', certFile, naming)
  const key = readKey(keyFile, naming)
  if (!cert.certificate.checkPrivateKey(key.key))
    throw unusable('tls.keyFile', naming, {
      text: 'this key is not that of the client certificate',
      value: showValue(keyFile),
      remedy: `Give the key of ${certFile}.`,
    })
  return { ...(ca !== undefined && { ca: ca.bytes }), cert: cert.bytes, key: key.bytes }
}

type TlsField = 'tls.caFile' | 'tls.certFile' | 'tls.keyFile'

function readCertificate(field: TlsField, path: string, naming: Naming) {
  const bytes = readSecurityFile(field, path, naming)
  try {
    return { bytes, certificate: new X509Certificate(bytes) }
  } catch (cause) {
    const remedy = 'Give a file that begins with -----BEGIN CERTIFICATE-----.'
    throw unusable(
      field,
      naming,
      { text: 'this file holds no certificate', value: showValue(path), remedy },
      cause,
    )
  }
}

function readKey(path: string, naming: Naming) {
  const bytes = readSecurityFile('tls.keyFile', path, naming)
  try {
    return { bytes, key: createPrivateKey(bytes) }
  } catch {
    throw unusable('tls.keyFile', naming, {
      text: 'this file holds no key that can be used',
      value: showValue(path),
      remedy: 'Give a private key in PEM form, without a passphrase.',
    })
  }
}

/** Certificate checks of Node, in the types of the client's options. */
type ClientTls = NonNullable<NodeConnectionOptions['tls']> & {
  readonly checkServerIdentity: typeof checkServerIdentity
}

/**
 * For the client, which reads the files at each dial.
 *
 * @param hosts of the addresses that were given. Where the client dials an IP address, one of them or one that a server of the
 *   cluster told it, it has no name to hold the certificate against, and takes `localhost`: there one for any of these is right
 */
export function clientTls(tls: TlsFiles, hosts: readonly string[]): ClientTls {
  const { caFile, certFile, keyFile, handshakeFirst } = tls
  return {
    ...(caFile !== undefined && { caFile }),
    ...(certFile !== undefined && { certFile }),
    ...(keyFile !== undefined && { keyFile }),
    ...(handshakeFirst === true && { handshakeFirst }),
    checkServerIdentity: identityCheck(hosts),
  }
}

export function identityCheck(hosts: readonly string[]): typeof checkServerIdentity {
  return (name: string, certificate: PeerCertificate): Error | undefined => {
    const isNameless = name === 'localhost' || isIP(name) !== 0
    const names = isNameless ? [...new Set(hosts)] : [name]
    const refusals = names.map((one) => checkServerIdentity(one, certificate))
    return refusals.includes(undefined) ? undefined : refusals[0]
  }
}

/** Host of `host:port`, `[::1]:4222` or `host`. */
export function hostOf(address: string): string {
  return /^\[(.*)\](?::\d+)?$/.exec(address)?.[1] ?? address.replace(/:\d+$/, '')
}
