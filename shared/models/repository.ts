import { readdir, readFile, realpath } from 'node:fs/promises'
import { join } from 'node:path'
import { PeltonError, showValue, toPeltonError } from '../sdk/errors.ts'
import { type Binder, createBinder } from './bind.ts'
import { type CopiesOptions, type CopyUse, openPlace } from './copy-place.ts'
import { createReader, type EventReader } from './event-reader.ts'
import { describeUnversioned, isNoise, isVersion } from './folder-names.ts'
import { createInspector, type Inspector, type InspectorOptions } from './inspect.ts'
import { completeManifest, type Manifest, mergeManifests, parseManifest } from './manifest.ts'
import type { ManifestSource } from './manifest-schema.ts'
import { checkOwnFile, exists } from './model-file.ts'
import { seeModels } from './models-page.ts'
import type { Trial } from './probe.ts'
import type { Signature } from './signature.ts'

/** One version of a model, inspected and ready to run. Fits wherever a `ModelFile` is asked for. */
export interface ServedModel {
  readonly name: string
  /** A positive integer in digits. */
  readonly version: string
  /** Differs for every name, version and content: sessions are kept under it. */
  readonly key: string
  /** Of the private copy, where there is one. */
  readonly path: string
  readonly isCopy: boolean
  /** SHA-256 of the file, hex; with external data, of the names and digests of all files. */
  readonly digest: string
  /** Of all files. */
  readonly sizeBytes: number
  readonly signature: Signature
  readonly manifest: Manifest
  /** Whether rows of different events may share a run: the model allows it and the manifest does not forbid it. */
  readonly batchable: boolean
  /** Most rows joined into one run; 1 when not batchable. */
  readonly maxBatchRows: number
  /** How generated inputs went when it was inspected. */
  readonly trial: Trial
  /** How long loading took when it was inspected. */
  readonly loadMs: number
  /** What an operator should know, in sentences. */
  readonly notes: readonly string[]
  /** Reads the data of events and fits it to the model. */
  readonly read: EventReader
  /** Fits events to the model. */
  readonly bind: Binder
}

export interface RefusedModel {
  readonly name: string
  /** Undefined when the folder of the model itself is refused. */
  readonly version: string | undefined
  readonly error: PeltonError
}

/** The models of a folder, as they were when it was opened. */
export interface ModelRepository {
  /** By name, then version. */
  readonly models: readonly ServedModel[]
  readonly refused: readonly RefusedModel[]
  /** What was passed over in the folder, in sentences: folders that are no models, version folders that are no numbers. */
  readonly remarks: readonly string[]
  /** The model with this name and version; without a version, the highest that is served. */
  find(name: string, version?: string): ServedModel | undefined
}

export interface RepositoryOptions {
  /** `<folder>/<name>/<version>/model.onnx`, with an optional manifest.yaml, .yml or .json in either folder. */
  readonly folder: string
  readonly inspect?: InspectorOptions
  /** Where private copies are made, as a worker makes them, and what keeps them there. @default files are run where they lie */
  readonly copies?: CopiesOptions & { readonly use: Pick<CopyUse, 'add'> }
  /** Told about progress, remarks and refusals, in sentences. */
  readonly note?: (text: string) => void
  /** Told before each model version is inspected. */
  readonly onProgress?: (done: number, total: number) => void
}

/** A version folder that may hold a model. */
export interface Candidate {
  readonly name: string
  readonly version: string
}

const MANIFEST_FILES = ['manifest.yaml', 'manifest.yml', 'manifest.json']
const PROGRESS_EVERY = 50

/**
 * Reads, checks and tries every model of a folder. A bad model never stops the others: it is among `refused`. Throws
 * `invalid-configuration` when the folder is missing, cannot be read or holds no model folder at all, and for a place for
 * copies that cannot be used.
 */
export async function openRepository(options: RepositoryOptions): Promise<ModelRepository> {
  const { folder, inspect = {}, copies, note = () => undefined, onProgress } = options
  const root = await openFolder(folder)
  if (copies !== undefined) await openPlace(copies.folder)
  const refused: RefusedModel[] = []
  const refuse = (name: string, version: string | undefined, thrown: unknown): void => {
    const error = toPeltonError(thrown, 'model-refused', 'the model cannot be read')
    refused.push({ name, version, error })
    note(
      `model ${showValue(name)}${version === undefined ? '' : ` version ${version}`} is refused: ${error.message}`,
    )
  }
  const remarks: string[] = []
  const remark = (text: string): void => {
    remarks.push(text)
    note(text)
  }
  const candidates = await listVersions(root, refuse, remark)
  if (candidates.length + refused.length === 0) throw noModels(folder)
  const models: ServedModel[] = []
  const inspector = createInspector(inspect)
  try {
    for (const [index, { name, version }] of candidates.entries()) {
      onProgress?.(index, candidates.length)
      if (index > 0 && index % PROGRESS_EVERY === 0)
        note(`${index} of ${candidates.length} model versions are inspected`)
      try {
        const model = await readModel(root, { name, version }, inspector, { copies: placeOf(copies) })
        await copies?.use.add(model.digest)
        models.push(model)
        for (const text of model.notes) note(`model ${showValue(name)} version ${version}: ${text}`)
      } catch (thrown) {
        refuse(name, version, thrown)
      }
    }
  } finally {
    await inspector.close()
  }
  return createRepository(models, refused, remarks)
}

/** What a process apart is told: only plain values can be sent to it. */
function placeOf(copies: CopiesOptions | undefined): CopiesOptions | undefined {
  return copies && { folder: copies.folder, maxBytes: copies.maxBytes }
}

export function createRepository(
  models: readonly ServedModel[],
  refused: readonly RefusedModel[],
  remarks: readonly string[],
): ModelRepository {
  const byVersion = new Map<string, ServedModel>()
  const highest = new Map<string, ServedModel>()
  // Names hold no slash, so a name and a version never run together.
  for (const model of models) {
    byVersion.set(`${model.name}/${model.version}`, model)
    highest.set(model.name, model) // versions come in rising order
  }
  const find: ModelRepository['find'] = (name, version) => {
    return version === undefined ? highest.get(name) : byVersion.get(`${name}/${version}`)
  }
  return Object.freeze({ models: Object.freeze(models), refused: Object.freeze(refused), remarks, find })
}

/** The real path of a models folder. @throws PeltonError `invalid-configuration` */
export async function openFolder(folder: string): Promise<string> {
  try {
    const root = await realpath(folder)
    await readdir(root)
    return root
  } catch (cause) {
    const remedy = 'Name a folder that exists and that Pelton may read.'
    const details = { field: 'models folder', value: folder, remedy }
    throw new PeltonError('invalid-configuration', 'the models folder cannot be read', details, cause)
  }
}

/** A models folder that holds no model. */
export function noModels(folder: string): PeltonError {
  return new PeltonError('invalid-configuration', 'the models folder holds no model', {
    field: 'models folder',
    value: folder,
    remedy: `Put models there as <name>/<version>/model.onnx, where version is a positive integer. ${seeModels('folder')}`,
  })
}

/** Told of a folder that is refused before it is looked into. */
export type Refuse = (name: string, version: string | undefined, thrown: unknown) => void

/** Every version folder, by name and rising version. Plain files and what is nobody's model are passed over. */
export async function listVersions(
  root: string,
  refuse: Refuse,
  remark: (text: string) => void,
): Promise<Candidate[]> {
  const candidates: Candidate[] = []
  const entries = await readdir(root, { withFileTypes: true })
  const folders = entries.filter((entry) => !entry.isFile()).map((entry) => entry.name)
  const noise = folders.filter((name) => isNoise(name) && !name.startsWith('.'))
  if (noise.length > 0) remark(`passed over, for they are no models: ${noise.sort().join(', ')}`)
  for (const name of folders.filter((folder) => !isNoise(folder)).sort()) {
    try {
      checkName(name)
      const found = await readdir(join(root, name), { withFileTypes: true })
      const versions = found.map((entry) => entry.name).filter(isVersion)
      const others = found.filter((entry) => !entry.isFile() && !isVersion(entry.name))
      const strange = describeUnversioned(others.map((entry) => entry.name))
      if (versions.length === 0) throw noVersion(name, strange)
      if (strange !== undefined) remark(`model ${showValue(name)}: ${strange}`)
      versions.sort((left, right) => Number(left) - Number(right))
      for (const version of versions) candidates.push({ name, version })
    } catch (thrown) {
      refuse(name, undefined, thrown)
    }
  }
  return candidates
}

function checkName(name: string): void {
  if (name.length <= 128 && !/[\p{Cc}\p{Cs}\ufffd]/u.test(name)) return
  throw new PeltonError('model-refused', 'the folder has a name that cannot be that of a model', {
    field: 'name',
    value: showValue(name),
    remedy: 'Use at most 128 characters, without control characters.',
  })
}

function noVersion(name: string, strange: string | undefined): PeltonError {
  const place = `Put the model at <name>/<version>/model.onnx, where version is a positive integer. ${seeModels('folder')}`
  return new PeltonError('model-refused', 'the model has no version folder', {
    field: 'path',
    value: name,
    remedy: strange === undefined ? place : `Seen was ${strange}. ${seeModels('folder')}`,
  })
}

/** What a version is read and tried with. */
export interface ReadModelOptions {
  readonly copies?: CopiesOptions | undefined
  /** The digest that others serve under this version; undefined where nobody does. */
  readonly expectedDigest?: string | undefined
}

/** Reads, checks and tries one version. Rejects with the reason why it is not served. */
export async function readModel(
  root: string,
  { name, version }: Candidate,
  inspector: Inspector,
  { copies, expectedDigest }: ReadModelOptions = {},
): Promise<ServedModel> {
  const gathered = await inspector.gather({ root, folder: join(root, name, version), copies })
  const { path, digest, sizeBytes } = gathered
  if (expectedDigest !== undefined && expectedDigest !== digest) throw isAnother(digest)
  const source = await readManifests(root, name, version)
  const manifestFile = `manifest of ${name}/${version}`
  const inspection = await inspector.inspect({ name, version, path, manifest: source, manifestFile })
  const { signature, loadMs, notes, trial } = inspection
  const manifest = completeManifest(source, signature, manifestFile)
  const batchable = inspection.batchable && manifest.batching.enabled
  const known = { name, version, signature, manifest, batchable }
  const bind = createBinder(known)
  return Object.freeze({
    name,
    version,
    key: `${name}/${version}@${digest.slice(0, 16)}`,
    path,
    isCopy: copies !== undefined,
    digest,
    sizeBytes,
    signature,
    manifest,
    batchable,
    maxBatchRows: batchable ? manifest.batching.maxRows : 1,
    trial,
    loadMs,
    notes,
    read: createReader(known, bind),
    bind,
  })
}

function isAnother(digest: string): PeltonError {
  return new PeltonError(
    'model-unavailable',
    'the files are not those that other workers of the pool serve',
    {
      field: 'sha256',
      value: digest,
      remedy: 'Put a changed model into a new version folder.',
    },
  )
}

async function readManifests(root: string, name: string, version: string): Promise<ManifestSource> {
  const ofModel = await readManifest(root, join(root, name), name)
  const ofVersion = await readManifest(root, join(root, name, version), `${name}/${version}`)
  return mergeManifests(ofModel, ofVersion)
}

async function readManifest(root: string, folder: string, shown: string): Promise<ManifestSource> {
  const found: string[] = []
  for (const file of MANIFEST_FILES) if (await exists(join(folder, file))) found.push(file)
  const [file] = found
  if (file === undefined) return {}
  if (found.length > 1) {
    throw new PeltonError('invalid-configuration', 'there is more than one manifest', {
      field: shown,
      value: found.join(', '),
      remedy: `Keep one of them. ${seeModels('folder')}`,
    })
  }
  const path = await checkOwnFile(root, join(folder, file))
  return parseManifest(await readFile(path, 'utf8'), `${shown}/${file}`)
}
