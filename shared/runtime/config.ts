import { z } from 'zod'
import { isPrefix, PREFIX_RULE } from '../sdk/contract/names.ts'
import { PeltonError, showValue } from '../sdk/errors.ts'
import { checkSecurity, type SecurityOptions } from '../sdk/jetstream/security.ts'

/** A whole number in a range, from text. */
export function count(least: number, most: number) {
  return z
    .string()
    .regex(/^\d+$/, 'must be a whole number')
    .transform(Number)
    .pipe(z.number().min(least, `must be at least ${least}`).max(most, `must be at most ${most}`))
}

/** A duration in whole milliseconds. */
export function milliseconds(least: number, most: number) {
  return count(least, most)
}

/** A size in whole bytes. */
export function bytes(least: number) {
  return count(least, Number.MAX_SAFE_INTEGER)
}

/** A name that can stand in a subject. */
export const name = z.string().min(1, 'must not be empty').max(128, 'must have at most 128 characters')

/** Where a service listens. */
export const host = z.string().regex(/^[0-9A-Za-z.:_-]{1,255}$/, 'must be an address or a host name')

/** What a process is called in records, headers and logs. */
export const processName = z
  .string()
  .regex(/^[!-~]{1,64}$/, 'must be 1 to 64 printable characters without spaces')

/** Names that an HTTP service may be called by. */
export const allowedHosts = z
  .string()
  .regex(/^[0-9A-Za-z.:_[\],-]{1,1000}$/, 'must be host names separated by commas')
  .optional()

const file = z.string().min(1).optional()

/** Who a process is to the broker, and how the two keep others out. */
const securitySettings = {
  PELTON_NATS_CREDS: file.describe(
    'Credentials file, a JWT and a seed as `nsc` writes them; read again at each connect, like every file here',
  ),
  PELTON_NATS_NKEY: file.describe('File with the seed of an nkey'),
  PELTON_NATS_USER: z.string().min(1).optional().describe('User at the broker'),
  PELTON_NATS_USER_FILE: file.describe('File with the user at the broker'),
  PELTON_NATS_PASSWORD: z.string().min(1).optional().describe('Password at the broker'),
  PELTON_NATS_PASSWORD_FILE: file.describe('File with the password at the broker'),
  PELTON_NATS_TOKEN: z.string().min(1).optional().describe('Token at the broker'),
  PELTON_NATS_TOKEN_FILE: file.describe('File with the token at the broker'),
  PELTON_NATS_TLS_CA: file.describe(
    "File with the authorities that may have signed the broker's certificate (default: those that Node knows)",
  ),
  PELTON_NATS_TLS_CERT: file.describe('File with the certificate of this client'),
  PELTON_NATS_TLS_KEY: file.describe('File with its key, without a passphrase'),
  PELTON_NATS_TLS_FIRST: z
    .enum(['true', 'false'])
    .default('false')
    .describe('TLS before the broker says anything, as it must be set up for (`handshake_first`)'),
  PELTON_NATS_DOMAIN: z
    .string()
    .optional()
    .describe('JetStream domain of the streams (default: that of the server)'),
  PELTON_NATS_INBOX_PREFIX: z
    .string()
    .optional()
    .describe(
      'Subject below which answers come, and nowhere else (default: `_INBOX.` and the user where one is named, else `_INBOX`)',
    ),
} as const

/** How a service reaches the broker, and how it logs. */
export const brokerSettings = {
  PELTON_NATS_URL: z
    .string()
    .regex(
      /^(?:(?:nats|tls):\/\/)?[^\s,]+(?:,(?:(?:nats|tls):\/\/)?[^\s,]+)*$/,
      'must be an address like nats://host:4222, several separated by commas',
    )
    .default('nats://127.0.0.1:4222')
    .describe('Broker to use'),
  ...securitySettings,
  PELTON_PREFIX: z
    .string()
    .refine(isPrefix, `must be ${PREFIX_RULE}`)
    .optional()
    .describe(
      'Which Pelton of the account this is for: in front of the names of its streams, subjects and buckets ' +
        '(docs/protocol.md). All processes of one Pelton have the same (default: none)',
    ),
  PELTON_DATA_PATH: z
    .enum(['direct', 'client'])
    .default('direct')
    .describe('What carries deliveries, results and acknowledgements: Pelton itself, or its NATS client'),
  PELTON_LOG_LEVEL: z
    .enum(['trace', 'debug', 'info', 'warn', 'error', 'fatal', 'silent'])
    .default('info')
    .describe('Least severity that is logged'),
} as const

/** Where a service listens for HTTP: health, metrics, and whatever else it offers. */
export const httpSettings = {
  PELTON_HTTP_HOST: host.default('127.0.0.1').describe('Address to listen on for HTTP'),
  PELTON_HTTP_PORT: count(0, 65_535)
    .optional()
    .describe('Port for HTTP: /livez, /readyz, /metrics; 0 takes any free port and logs it (default: none)'),
} as const

/** What names a file shows its path. */
const SECRETS = /(?:PASSWORD|TOKEN|SECRET)(?!.*_FILE$)/

/**
 * Reads settings from the environment, once, at the door; the result is complete and frozen.
 *
 * @throws PeltonError `invalid-configuration`: every problem at once, each with variable, value and remedy
 */
export function readSettings<Shape extends z.ZodRawShape>(
  shape: Shape,
  env: NodeJS.ProcessEnv,
): Readonly<z.infer<z.ZodObject<Shape>>> {
  const given = Object.fromEntries(Object.keys(shape).flatMap((key) => (env[key] ? [[key, env[key]]] : [])))
  const result = z.object(shape).safeParse(given)
  if (result.success) return Object.freeze(result.data)
  const problems = result.error.issues.map((issue) => {
    const variable = String(issue.path[0])
    return `${variable} = ${shown(variable, given[variable])}: ${issue.message}`
  })
  throw new PeltonError(
    'invalid-configuration',
    `${problems.length} setting(s) cannot be used:\n  ${problems.join('\n  ')}`,
    {
      remedy: 'Correct or unset them; docs/configuration.md lists every setting.',
    },
  )
}

/** A value for people: credentials hidden, also those inside an address. */
function shown(variable: string, value: string | undefined): string {
  return SECRETS.test(variable)
    ? '(hidden)'
    : showValue(value?.replace(/(^|,)(\s*)([a-z]+:\/\/)?[^,]*@/gi, '$1$2$3***@'))
}

type BrokerSettings = z.infer<z.ZodObject<typeof brokerSettings>>
type SecuritySettings = z.infer<z.ZodObject<typeof securitySettings>>

/**
 * Settings whose security holds together.
 *
 * @throws PeltonError `invalid-configuration` for what excludes each other, or is no path
 */
export function checkBrokerSettings<Settings extends BrokerSettings>(settings: Settings): Settings {
  checkSecurity({ url: settings.PELTON_NATS_URL, ...securityOptions(settings) }, 'settings')
  return settings
}

/** The settings as the SDK takes them. @param name shown in the broker's list of connections */
export function brokerOptions(settings: BrokerSettings, name: string) {
  return {
    url: settings.PELTON_NATS_URL,
    name,
    ...securityOptions(settings),
    dataPath: settings.PELTON_DATA_PATH,
    prefix: settings.PELTON_PREFIX,
  }
}

/** The options for a broker of one's own: it asks nobody who they are. */
export function withoutWho({ url, name, dataPath, prefix }: ReturnType<typeof brokerOptions>) {
  return { url, name, dataPath, prefix }
}

/** Who this process is to the broker, as the SDK takes it. */
export function securityOptions(settings: SecuritySettings): SecurityOptions {
  return {
    user: settings.PELTON_NATS_USER,
    userFile: settings.PELTON_NATS_USER_FILE,
    password: settings.PELTON_NATS_PASSWORD,
    passwordFile: settings.PELTON_NATS_PASSWORD_FILE,
    token: settings.PELTON_NATS_TOKEN,
    tokenFile: settings.PELTON_NATS_TOKEN_FILE,
    credsFile: settings.PELTON_NATS_CREDS,
    nkeyFile: settings.PELTON_NATS_NKEY,
    tls: tlsOptions(settings),
    domain: settings.PELTON_NATS_DOMAIN,
    inboxPrefix: settings.PELTON_NATS_INBOX_PREFIX,
  }
}

/** Undefined where nothing is said of TLS: then it is up to the address and the broker. */
function tlsOptions(settings: SecuritySettings): SecurityOptions['tls'] {
  const {
    PELTON_NATS_TLS_CA: caFile,
    PELTON_NATS_TLS_CERT: certFile,
    PELTON_NATS_TLS_KEY: keyFile,
  } = settings
  const handshakeFirst = settings.PELTON_NATS_TLS_FIRST === 'true'
  if (caFile === undefined && certFile === undefined && keyFile === undefined && !handshakeFirst)
    return undefined
  return { caFile, certFile, keyFile, handshakeFirst }
}

/** An environment without what is for a broker of one's own choice: the embedded one has no security. */
export function withoutSecurity(env: NodeJS.ProcessEnv): NodeJS.ProcessEnv {
  return Object.fromEntries(
    Object.entries(env).filter(([variable]) => !Object.hasOwn(securitySettings, variable)),
  )
}
