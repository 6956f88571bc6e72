import { hostname } from 'node:os'
import { z } from 'zod'
import {
  allowedHosts,
  brokerSettings,
  bytes,
  checkBrokerSettings,
  count,
  host,
  httpSettings,
  milliseconds,
  name,
  processName,
  readSettings,
} from '../../shared/runtime/config.ts'
import { PeltonError } from '../../shared/sdk/errors.ts'
import { type QuotaClasses, readQuotas } from './core/quotas.ts'

const HOUR_MS = 3_600_000
const KIB = 1024
const MIB = 1024 ** 2

/** Port of the gateway where nothing else is asked for. */
export const DEFAULT_GATEWAY_PORT = 8480

const file = z.string().min(1).optional()
/** What bounds a request before anything is allocated for it. */
const LIMIT_SETTINGS = {
  PELTON_GATEWAY_MAX_BODY_BYTES: bytes(KIB)
    .default(MIB)
    .describe('Bytes of a body, decompressed; what the broker takes of an event may be less, and holds too'),
  PELTON_GATEWAY_MAX_BODY_PIECES: count(16, 1_000_000)
    .default(16_384)
    .describe('Chunks, or what single packets bring, that a body may come in'),
  PELTON_GATEWAY_MAX_DEPTH: count(1, 64).default(64).describe('How deep JSON may be nested'),
  PELTON_GATEWAY_MAX_ELEMENTS: count(1, 100_000_000)
    .default(1_000_000)
    .describe('Values that the JSON of a body may have'),
  PELTON_GATEWAY_MAX_HEADER_BYTES: count(4 * KIB, MIB)
    .default(16 * KIB)
    .describe('Bytes of all headers of a request, its path among them'),
  PELTON_GATEWAY_MAX_HEADERS: count(16, 2_000).default(100).describe('Headers of a request'),
  PELTON_GATEWAY_MAX_TARGET_BYTES: count(256, MIB)
    .default(8 * KIB)
    .describe('Bytes of the path of a request, and of what stands behind its `?`'),
  PELTON_GATEWAY_MAX_CONNECTIONS: count(1, 1_000_000)
    .default(10_000)
    .describe('Connections at the same time; one more is closed at once'),
  PELTON_GATEWAY_MAX_PIPELINED: count(1, 1_000)
    .default(64)
    .describe(
      'Requests of one connection that wait for their answer at the same time; no more is read of it',
    ),
  PELTON_GATEWAY_MAX_IN_FLIGHT: count(1, 1_000_000)
    .default(5_000)
    .describe('Requests that wait for their answer at the same time; one more is refused with 503'),
  PELTON_GATEWAY_MAX_IN_FLIGHT_BYTES: bytes(MIB)
    .default(256 * MIB)
    .describe('Bytes of bodies that are held at the same time; beyond it requests are refused with 503'),
  PELTON_GATEWAY_ARRIVAL_MS: milliseconds(100, HOUR_MS)
    .default(30_000)
    .describe('How long a request may take to arrive'),
  PELTON_GATEWAY_TAKING_MS: milliseconds(100, HOUR_MS)
    .default(30_000)
    .describe('How long a caller may take nothing of its answer before the connection is closed'),
  PELTON_GATEWAY_KEEP_ALIVE_MS: milliseconds(0, HOUR_MS)
    .default(72_000)
    .describe('How long a connection may be idle between two requests'),
} as const

/** Settings of the gateway beside those of the broker and of health and metrics. */
export const GATEWAY_SETTINGS = {
  PELTON_GATEWAY_HOST: host
    .default('127.0.0.1')
    .describe('Address the gateway listens on; on another than loopback every request needs a key'),
  PELTON_GATEWAY_PORT: count(0, 65_535)
    .default(DEFAULT_GATEWAY_PORT)
    .describe('Port of the gateway; 0 takes any free port and logs it'),
  PELTON_GATEWAY_POOL: name.default('default').describe('Pool of those that need no key'),
  PELTON_GATEWAY_KEYS: z
    .enum(['auto', 'always'])
    .default('auto')
    .describe(
      'Whether requests need a key of `pelton keys`; `auto` asks for one on any other address than loopback',
    ),
  PELTON_GATEWAY_QUOTAS: z
    .string()
    .refine(
      (text) => readQuotas(text) !== undefined,
      'must be classes such as gold=200/400,free=0.5/10: requests a second / at once',
    )
    .transform((text): QuotaClasses => readQuotas(text) ?? new Map())
    .optional()
    .describe(
      'Quotas of keys by class, each key by itself and at each gateway: `gold=200/400,free=0.5/10` are requests a second / at once (default: none)',
    ),
  PELTON_GATEWAY_TIMEOUT_MS: milliseconds(1, HOUR_MS)
    .default(10_000)
    .describe('How long an answer is waited for where the request says nothing of it'),
  PELTON_GATEWAY_SECRET: z
    .string()
    .min(16, 'must have at least 16 characters')
    .optional()
    .describe(
      'What `Location` is signed with, the same for all gateways (default: one that the first gateway keeps in the bucket `pelton-requests`)',
    ),
  PELTON_GATEWAY_TLS_CERT: file.describe('File with the certificate of the gateway: with it only HTTPS'),
  PELTON_GATEWAY_TLS_KEY: file.describe('File with its key'),
  PELTON_GATEWAY_TLS_CA: file.describe(
    'File with the authorities that must have signed the certificate of a caller (default: callers need none)',
  ),
  PELTON_GATEWAY_CORS_ORIGINS: z
    .string()
    .regex(
      /^https?:\/\/[^\s,*/]+(?:,\s*https?:\/\/[^\s,*/]+)*$/,
      'must be origins such as https://shop.example',
    )
    .transform((text): readonly string[] => text.split(',').map((each) => each.trim()))
    .optional()
    .describe('Origins whose pages may call, separated by commas (default: none)'),
  PELTON_GATEWAY_ALLOWED_HOSTS: allowedHosts.describe(
    'Names the gateway may be called by, separated by commas (default: on loopback, the names of loopback; else any)',
  ),
  ...LIMIT_SETTINGS,
  PELTON_GATEWAY_NAME: processName
    .default(`gateway-${hostname()}-${process.pid}`)
    .describe('Name of this gateway in logs and metrics (default: host name and process id)'),
  PELTON_GATEWAY_GRACE_MS: milliseconds(0, HOUR_MS)
    .default(20_000)
    .describe('How long requests under way may take once the gateway is to end'),
} as const

export type GatewaySettings = ReturnType<typeof readGatewaySettings>

/** @throws PeltonError `invalid-configuration` naming every variable that is not usable */
export function readGatewaySettings(env: NodeJS.ProcessEnv) {
  const settings = checkBrokerSettings(
    readSettings({ ...brokerSettings, ...httpSettings, ...GATEWAY_SETTINGS }, env),
  )
  checkTls(settings)
  return settings
}

function checkTls(
  settings: Readonly<
    Partial<
      Record<
        'PELTON_GATEWAY_TLS_CERT' | 'PELTON_GATEWAY_TLS_KEY' | 'PELTON_GATEWAY_TLS_CA',
        string | undefined
      >
    >
  >,
): void {
  const { PELTON_GATEWAY_TLS_CERT: cert, PELTON_GATEWAY_TLS_KEY: key, PELTON_GATEWAY_TLS_CA: ca } = settings
  if ((cert === undefined) === (key === undefined) && (ca === undefined || cert !== undefined)) return
  const field = cert === undefined ? 'PELTON_GATEWAY_TLS_CERT' : 'PELTON_GATEWAY_TLS_KEY'
  throw new PeltonError('invalid-configuration', 'TLS needs a certificate and its key', {
    field,
    value: 'unset',
    remedy: 'Set PELTON_GATEWAY_TLS_CERT and PELTON_GATEWAY_TLS_KEY, or none of the three.',
  })
}
