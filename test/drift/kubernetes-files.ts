import { readFile } from 'node:fs/promises'
import { parse, parseAllDocuments } from 'yaml'
import { ROOT } from './observability-files.ts'

export const VALUES = `${ROOT}infra/kubernetes/values.yaml`
const MANIFESTS = `${ROOT}infra/kubernetes/pelton.yaml`

export interface EnvEntry {
  readonly name: string
  readonly value?: string
  readonly valueFrom?: object
}

interface Probe {
  readonly httpGet: { readonly path: string; readonly port: string | number }
}

interface Container {
  readonly name: string
  readonly env: readonly EnvEntry[]
  readonly ports?: readonly { readonly name: string; readonly containerPort: number }[]
  readonly volumeMounts?: readonly { readonly name: string; readonly mountPath: string }[]
  readonly livenessProbe?: Probe
  readonly readinessProbe?: Probe
  readonly lifecycle?: { readonly preStop: { readonly exec: { readonly command: readonly string[] } } }
  readonly securityContext: object
}

/** What a workload runs. */
export interface Pod {
  readonly terminationGracePeriodSeconds?: number
  readonly enableServiceLinks?: boolean
  readonly securityContext: object
  readonly containers: readonly [Container]
}

interface Manifest {
  readonly kind: string
  readonly metadata: { readonly name: string }
  readonly spec: {
    readonly template?: { readonly spec: Pod }
    readonly volumeClaimTemplates?: readonly { readonly metadata: { readonly name: string } }[]
  }
}

/** Pods of the workloads, by name. */
export async function readPods(): Promise<ReadonlyMap<string, Pod>> {
  const documents = parseAllDocuments(await readFile(MANIFESTS, 'utf8'))
  const pods = new Map<string, Pod>()
  for (const document of documents) {
    const { metadata, spec } = document.toJS() as Manifest
    if (spec.template !== undefined) pods.set(metadata.name, spec.template.spec)
  }
  return pods
}

/** Volumes that outlive their pods, by workload. */
export async function readVolumeClaims(): Promise<ReadonlyMap<string, readonly string[]>> {
  const claims = new Map<string, readonly string[]>()
  for (const document of parseAllDocuments(await readFile(MANIFESTS, 'utf8'))) {
    const { metadata, spec } = document.toJS() as Manifest
    const templates = spec.volumeClaimTemplates ?? []
    if (templates.length > 0)
      claims.set(
        metadata.name,
        templates.map((each) => each.metadata.name),
      )
  }
  return claims
}

/** A manifest of a kind, as it stands there. */
async function findManifest(kind: string, name: string): Promise<unknown> {
  const all = parseAllDocuments(await readFile(MANIFESTS, 'utf8')).map((each) => each.toJS() as Manifest)
  return all.find((each) => each.kind === kind && each.metadata.name === name)
}

/** How many pods of a Deployment there are, how they are replaced, and how many of them may be taken away at once. */
export async function readRollout(name: string) {
  const [deployment, budget] = (await Promise.all([
    findManifest('Deployment', name),
    findManifest('PodDisruptionBudget', name),
  ])) as [
    { readonly spec: { readonly replicas: number; readonly strategy: object } },
    { readonly spec: { readonly maxUnavailable: number } },
  ]
  const { replicas, strategy } = deployment.spec
  return { replicas, strategy, budget: budget.spec.maxUnavailable }
}

/** Ports of a Service. */
export async function readServicePorts(name: string): Promise<readonly object[]> {
  const service = (await findManifest('Service', name)) as { readonly spec: { readonly ports: object[] } }
  return service.spec.ports
}

/** Environment of a container as a process sees it; what comes from elsewhere is `given`. */
export function envOf({ env }: Container): NodeJS.ProcessEnv {
  return Object.fromEntries(env.map(({ name, value }) => [name, value ?? 'given']))
}

interface Values {
  readonly config: {
    readonly cluster: { readonly replicas: number; readonly merge: Readonly<Record<string, unknown>> }
    readonly jetstream: {
      readonly fileStore: { readonly pvc: { readonly size: string } }
      readonly merge: Readonly<Record<string, unknown>>
    }
    readonly merge: { readonly $include: string }
  }
  readonly container: { readonly env: Readonly<Record<string, string | object>> }
  readonly podTemplate: { readonly topologySpreadConstraints: Readonly<Record<string, object>> }
  readonly podDisruptionBudget: { readonly enabled: boolean }
}

export async function readValues(): Promise<Values> {
  return parse(await readFile(VALUES, 'utf8')) as Values
}

/** Variables of the server in the order of the chart, those of others put in as Kubernetes does it. */
export function serverEnv(values: Values): NodeJS.ProcessEnv {
  const env: Record<string, string> = {}
  for (const [name, value] of Object.entries(values.container.env).sort(([a], [b]) => (a < b ? -1 : 1)))
    env[name] =
      typeof value === 'string'
        ? value.replace(/\$\((\w+)\)/g, (whole, other) => env[other] ?? whole)
        : `of-${name.toLowerCase()}`
  return env
}

/**
 * The server's file as the chart makes it of these values: JSON but for includes, and for `<< … >>`, which it takes the
 * quotes off.
 */
export function serverConfig({ config }: Values, storeDir: string): string {
  const { $include: include, ...rest } = config.merge
  const text = JSON.stringify({
    ...{ server_name: 'nats-0', port: 4222, http_port: 8222 },
    jetstream: {
      max_file_store: `<< ${config.jetstream.fileStore.pvc.size} >>`,
      store_dir: storeDir,
      ...config.jetstream.merge,
    },
    cluster: { port: 6222, no_advertise: true, ...config.cluster.merge },
    ...rest,
  }).replace(/"<<\s+(.*?)\s+>>"/g, '$1')
  return `{\n  include ${include};\n  ${text.slice(1)}\n`
}
