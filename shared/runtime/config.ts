import { z } from 'zod'
import { PeltonError, showValue } from '../sdk/errors.ts'

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
  PELTON_NATS_USER: z.string().min(1).optional().describe('User at the broker'),
  PELTON_NATS_PASSWORD: z.string().min(1).optional().describe('Password at the broker'),
  PELTON_NATS_TOKEN: z.string().min(1).optional().describe('Token at the broker'),
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
  PELTON_HTTP_HOST: z
    .string()
    .regex(/^[0-9A-Za-z.:_-]{1,255}$/, 'must be an address or a host name')
    .default('127.0.0.1')
    .describe('Address to listen on for HTTP'),
  PELTON_HTTP_PORT: count(0, 65_535)
    .optional()
    .describe('Port for HTTP: /livez, /readyz, /metrics; 0 takes any free port and logs it (default: none)'),
} as const

const SECRETS = /PASSWORD|TOKEN|SECRET/

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

/** The settings as the SDK takes them. @param name shown in the broker's list of connections */
export function brokerOptions(settings: BrokerSettings, name: string) {
  return {
    url: settings.PELTON_NATS_URL,
    name,
    user: settings.PELTON_NATS_USER,
    password: settings.PELTON_NATS_PASSWORD,
    token: settings.PELTON_NATS_TOKEN,
    dataPath: settings.PELTON_DATA_PATH,
  }
}
