import type { z } from 'zod'
import { OPERATOR_SETTINGS } from '../../shared/operations/broker/operator-settings.ts'
import { brokerSettings } from '../../shared/runtime/config.ts'
import { CONTROL_SERVICE_SETTINGS } from '../control/config.ts'
import { GATEWAY_SETTINGS } from '../gateway/config.ts'
import { WORKER_SETTINGS } from '../worker/config.ts'
import { TOPOLOGY_SETTINGS } from './topology-settings.ts'

interface Section {
  readonly title: string
  readonly text: string
  readonly shape: z.ZodRawShape
}

/** Variables read outside the schemas: by the part that finds or obtains a nats-server, and by the terminal. */
const OTHERS: readonly (readonly [variable: string, fallback: string, meaning: string])[] = [
  [
    'PELTON_NATS_SERVER',
    '',
    'Path of the nats-server to run; without it: `PATH`, the cache, then a download',
  ],
  ['PELTON_NATS_RELEASE_URL', 'GitHub', 'Where nats-server releases are downloaded from'],
  ['XDG_CACHE_HOME', '`~/.cache`', 'Holds `pelton/`, the obtained nats-server'],
  ['XDG_DATA_HOME', '`~/.local/share`', 'Holds `pelton/`, the data of `pelton up`'],
  ['NO_COLOR', '', 'Set to anything: no colours'],
]

const SECTIONS: readonly Section[] = [
  {
    title: 'Broker and logs',
    text: 'Read by every command and service.',
    shape: brokerSettings,
  },
  {
    title: 'Worker',
    text:
      'Read by each worker process. `pelton models list` and `models check` read `PELTON_MODELS`, `PELTON_COPIES…` and\n' +
      '`PELTON_INSPECT_…` as well, and so find what a worker finds.',
    shape: without(WORKER_SETTINGS, brokerSettings),
  },
  {
    title: 'Control service',
    text: 'Read by the control service, of `pelton up` or `pelton control`.',
    shape: CONTROL_SERVICE_SETTINGS,
  },
  {
    title: 'Gateway',
    text: 'Read by each gateway, of `pelton up` or `pelton gateway`, beside `PELTON_HTTP_HOST` and `PELTON_HTTP_PORT` of the worker.',
    shape: GATEWAY_SETTINGS,
  },
  { title: 'Command line', text: 'Read by `pelton`.', shape: OPERATOR_SETTINGS },
  {
    title: 'Streams',
    text:
      'Read by `pelton provision`, `pelton up` and `pelton doctor`, each also as an option: `PELTON_REPLICAS` is\n' +
      '`--replicas`. Limits grow in place; one that is larger already stays.',
    shape: TOPOLOGY_SETTINGS,
  },
]

/** The text of `docs/configuration.md`. */
export function configurationPage(): string {
  const sections = SECTIONS.map(
    ({ title, text, shape }) => `## ${title}\n\n${text}\n\n${table(Object.entries(shape).map(toRow))}`,
  )
  return [
    '# Configuration',
    'Settings are environment variables, read once at the start. A value that cannot be used ends the program with exit code\n' +
      '2 and a list of every such variable, its value (credentials hidden) and what it must be. An empty variable counts as\n' +
      'unset.',
    'This page is generated from the schemas: `npm run -s pelton -- settings > docs/configuration.md`.',
    ...sections,
    `## Others\n\n${table(OTHERS.map(([variable, ...rest]) => [`\`${variable}\``, ...rest]))}`,
    '',
  ]
    .join('\n\n')
    .trimEnd()
    .concat('\n')
}

function toRow([variable, field]: readonly [string, unknown]): readonly string[] {
  const schema = field as z.ZodType
  const description = schema.description ?? ''
  const [, told] = / \(default: (.*)\)$/.exec(description) ?? []
  const meaning = told === undefined ? description : description.slice(0, -` (default: ${told})`.length)
  return [`\`${variable}\``, told ?? defaultOf(schema), `${meaning}${choices(schema)}`]
}

/** The default as it is after reading: what an unset variable means. */
function defaultOf(schema: z.ZodType): string {
  const read = schema.safeParse(undefined)
  return read.success && read.data !== undefined ? `\`${String(read.data)}\`` : ''
}

function choices(schema: z.ZodType): string {
  let inner: unknown = schema
  while (isWrapped(inner)) inner = inner.unwrap()
  const { options } = inner as { readonly options?: readonly unknown[] }
  return Array.isArray(options) ? `: ${options.map((option) => `\`${String(option)}\``).join(', ')}` : ''
}

function isWrapped(schema: unknown): schema is { unwrap(): unknown } {
  return typeof (schema as { unwrap?: unknown }).unwrap === 'function'
}

function without(shape: z.ZodRawShape, left: z.ZodRawShape): z.ZodRawShape {
  return Object.fromEntries(Object.entries(shape).filter(([variable]) => !Object.hasOwn(left, variable)))
}

function table(rows: readonly (readonly string[])[]): string {
  const head = ['Variable', 'Default', 'Meaning']
  const line = (cells: readonly string[]): string => `| ${cells.join(' | ').replaceAll('<', '\\<')} |`
  return [line(head), line(head.map(() => '---')), ...rows.map(line)].join('\n')
}
