import { PeltonError, showValue } from '../sdk/errors.ts'
import { type ModelsSection, seeModels } from './models-page.ts'
import { nearestName } from './nearest-name.ts'

/** Something wrong in a manifest. */
export interface ManifestProblem {
  readonly path: string
  readonly value: string
  readonly remedy: string
}

/** A problem with a value, which is shown shortened. */
export function problem(path: string, value: unknown, remedy: string): ManifestProblem {
  return { path, value: showValue(value), remedy }
}

/** A name that is not one of those known, with the one probably meant. */
export function unknownName(path: string, value: string, known: readonly string[]): ManifestProblem {
  const nearest = nearestName(value, known)
  const meant = nearest === undefined ? '' : `Did you mean ${showValue(nearest)}? `
  return problem(path, value, `${meant}The model has ${showValue(known, 200)}.`)
}

/** One error for all problems of the manifest in `file`. */
export function invalidManifest(file: string, problems: readonly ManifestProblem[]): PeltonError {
  const list = problems.map(({ path, value, remedy }) => `${path} = ${value}: ${remedy}`).join(' ')
  const count = problems.length === 1 ? 'a problem' : `${problems.length} problems`
  const remedy = `${list} ${seeModels(sectionOf(problems))}`
  return new PeltonError('invalid-configuration', `the manifest has ${count}`, { field: file, remedy })
}

const SECTIONS: Readonly<Record<string, ModelsSection>> = {
  inputs: 'feature-mapping',
  batching: 'batching',
  retries: 'limits-and-retries',
  limits: 'limits-and-retries',
  checks: 'checks',
  admission: 'admission',
  slo: 'admission',
  golden: 'golden-samples',
}

/** Where the key is described that all problems are about; where there is none, every key. */
function sectionOf(problems: readonly ManifestProblem[]): ModelsSection {
  const sections = new Set(
    problems.map(({ path }) => {
      const [key = ''] = path.split(/[.[]/)
      return (Object.hasOwn(SECTIONS, key) ? SECTIONS[key] : undefined) ?? 'manifest'
    }),
  )
  const [only = 'manifest', ...others] = sections
  return others.length === 0 ? only : 'manifest'
}
