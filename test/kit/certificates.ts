import { createPrivateKey, generateKeyPairSync, type KeyObject, randomBytes, sign } from 'node:crypto'
import { writeFile } from 'node:fs/promises'
import { isIPv4 } from 'node:net'
import { join } from 'node:path'

/** Paths of a certificate and its key, PEM. */
export interface CertificateFiles {
  readonly cert: string
  readonly key: string
}

export interface IssueOptions {
  /** Host names and IPv4 addresses it is for. @default localhost and 127.0.0.1 */
  readonly hosts?: readonly string[]
  /** When it ends. @default in 30 days */
  readonly until?: Date
}

/** An authority of a test's own, which nobody else knows. */
export interface Authority {
  /** Its certificate, PEM. */
  readonly file: string
  /** Makes a certificate, and writes it and its key beside that of the authority; one of the same name is replaced. */
  issue(name: string, options?: IssueOptions): Promise<CertificateFiles>
}

const DAY_MS = 24 * 3_600_000

function in30Days(): Date {
  return new Date(Date.now() + 30 * DAY_MS)
}

/** Makes an authority whose files lie in a folder. */
export async function createAuthority(folder: string, name = 'ca'): Promise<Authority> {
  const own = generateKeyPairSync('ec', { namedCurve: 'P-256' })
  const file = join(folder, `${name}.pem`)
  const facts = { subject: name, issuer: name, until: in30Days() }
  await writeFile(
    file,
    certificate({ ...facts, key: own.publicKey, signer: own.privateKey, extensions: OF_AUTHORITY }),
  )
  return {
    file,
    async issue(subject, { hosts = ['localhost', '127.0.0.1'], until = in30Days() } = {}) {
      const pair = generateKeyPairSync('ec', { namedCurve: 'P-256' })
      const files = { cert: join(folder, `${subject}.pem`), key: join(folder, `${subject}.key`) }
      const extensions = [extension(OID.subjectAltName, sequence(...hosts.map(altName)))]
      const issued = { subject, issuer: name, until, key: pair.publicKey, signer: own.privateKey, extensions }
      await writeFile(files.cert, certificate(issued))
      await writeFile(files.key, pair.privateKey.export({ type: 'pkcs8', format: 'pem' }))
      return files
    },
  }
}

/** The `tls` block of a server with a certificate of this authority. */
export async function serverTls(
  authority: Authority,
  more = '',
  hosts: readonly string[] = ['localhost'],
): Promise<string> {
  const { cert, key } = await authority.issue('server', { hosts })
  return `tls { cert_file: ${JSON.stringify(cert)}, key_file: ${JSON.stringify(key)}\n ${more} }`
}

/** Whether a file holds a private key: what a test of secrets looks for. */
export function keyLines(pem: string): readonly string[] {
  createPrivateKey(pem)
  return pem.split('\n').filter((line) => line.length > 20 && !line.startsWith('-----'))
}

interface CertificateFacts {
  readonly subject: string
  readonly issuer: string
  readonly until: Date
  readonly key: KeyObject
  readonly signer: KeyObject
  readonly extensions: readonly Buffer[]
}

/** A certificate of version 3 with ECDSA over SHA-256 (RFC 5280), PEM. */
function certificate({ subject, issuer, until, key, signer, extensions }: CertificateFacts): string {
  const algorithm = sequence(OID.ecdsaWithSha256)
  const signed = sequence(
    tagged(0xa0, tagged(0x02, Buffer.from([2]))),
    tagged(0x02, Buffer.concat([Buffer.from([1]), randomBytes(8)])),
    algorithm,
    nameOf(issuer),
    sequence(time(new Date(Date.now() - 30 * DAY_MS)), time(until)),
    nameOf(subject),
    key.export({ type: 'spki', format: 'der' }),
    tagged(0xa3, sequence(...extensions)),
  )
  const signature = sign('sha256', signed, signer)
  const der = sequence(signed, algorithm, tagged(0x03, Buffer.from([0]), signature))
  const lines = der.toString('base64').match(/.{1,64}/g) ?? []
  return ['-----BEGIN CERTIFICATE-----', ...lines, '-----END CERTIFICATE-----', ''].join('\n')
}

/** Object identifiers as they are written. */
const OID = {
  ecdsaWithSha256: Buffer.from('06082a8648ce3d040302', 'hex'),
  commonName: Buffer.from('0603550403', 'hex'),
  basicConstraints: Buffer.from('0603551d13', 'hex'),
  subjectAltName: Buffer.from('0603551d11', 'hex'),
} as const

const TRUE = Buffer.from([0x01, 0x01, 0xff])
const OF_AUTHORITY = [sequence(OID.basicConstraints, TRUE, tagged(0x04, sequence(TRUE)))]

function extension(id: Buffer, value: Buffer): Buffer {
  return sequence(id, tagged(0x04, value))
}

function altName(host: string): Buffer {
  if (isIPv4(host)) return tagged(0x87, Buffer.from(host.split('.').map(Number)))
  return tagged(0x82, Buffer.from(host))
}

function nameOf(text: string): Buffer {
  return sequence(tagged(0x31, sequence(OID.commonName, tagged(0x0c, Buffer.from(text)))))
}

function time(at: Date): Buffer {
  return tagged(
    0x17,
    Buffer.from(
      `${at
        .toISOString()
        .replace(/[-:T]|\.\d+/g, '')
        .slice(2)}`,
    ),
  )
}

function sequence(...parts: readonly Uint8Array[]): Buffer {
  return tagged(0x30, ...parts)
}

function tagged(tag: number, ...parts: readonly Uint8Array[]): Buffer {
  const value = Buffer.concat(parts)
  return Buffer.concat([Buffer.from([tag]), lengthOf(value.length), value])
}

function lengthOf(length: number): Buffer {
  if (length < 0x80) return Buffer.from([length])
  const bytes = length < 0x100 ? [length] : [length >> 8, length & 0xff]
  return Buffer.from([0x80 | bytes.length, ...bytes])
}
