import { z } from 'zod'
import type { Contents, Operation } from '../../../shared/runtime/openapi.ts'
import { countsQuery, discardBody, exportBody, pageQuery, purgeBody } from '../http/input.ts'
import * as answers from './answers.ts'
import { body, get, json, post } from './operation.ts'

export const DEAD_LETTERS = 'Dead letters'

const BYTES: Contents = { 'application/octet-stream': undefined }
const LINES: Contents = { 'application/x-ndjson': z.string() }
const PATH = '/v1/dead-letters'

/** Below `/v1/dead-letters`. */
export function letterOperations(): readonly Operation[] {
  return [...reading(), ...removing(), ...moving()]
}

function reading(): readonly Operation[] {
  const tag = DEAD_LETTERS
  const page = { id: 'list-dead-letters', summary: 'A page of them', query: pageQuery }
  const counts = { id: 'count-dead-letters', summary: 'The most frequent groups', query: countsQuery }
  const acts = { id: 'list-acts', summary: 'What was discarded, purged, imported' }
  const one = { id: 'read-dead-letter', summary: 'One, whole' }
  const payload = { id: 'read-payload', summary: 'Its bytes' }
  const groups = json('By model, reason and description', answers.deadLetterCounts)
  const bytes = { description: 'As they were sent', content: BYTES }
  return [
    get({ ...page, tag, path: PATH }, json('Those that match', answers.deadLetterPage)),
    get({ ...counts, tag, path: `${PATH}/counts` }, groups),
    get({ ...acts, tag, path: `${PATH}/history` }, json('Who, when, why', answers.history)),
    get({ ...one, tag, path: `${PATH}/{which}` }, json('This is it', answers.deadLetter), 404),
    get({ ...payload, tag, path: `${PATH}/{which}/payload` }, bytes, 404),
  ]
}

function removing(): readonly Operation[] {
  const tag = DEAD_LETTERS
  const removed = { 200: json('How many, or how many it would be', answers.removal) }
  const discard = {
    id: 'discard-dead-letters',
    summary: 'Count, or with `confirm` discard',
    description: '`which` or `filter`, and not both; a filter has a condition.',
    body: body(discardBody, true),
  }
  const purge = {
    id: 'purge-dead-letters',
    summary: 'Count, or with `confirm` erase those of a subject',
    body: body(purgeBody, true),
  }
  return [
    post({ ...discard, tag, path: `${PATH}/discard` }, removed, 409),
    post({ ...purge, tag, path: `${PATH}/purge` }, removed, 409),
  ]
}

function moving(): readonly Operation[] {
  const tag = DEAD_LETTERS
  const exporting = {
    id: 'export-dead-letters',
    summary: 'Lines of JSON, exact to the byte',
    body: body(exportBody, false),
  }
  const importing = {
    id: 'import-dead-letters',
    summary: 'Store such lines',
    description: 'At most 1 GiB, however long that takes.',
    body: { isRequired: true, content: LINES },
  }
  const lines = { description: 'One dead letter a line', content: LINES }
  return [
    post({ ...exporting, tag, path: `${PATH}/export` }, { 200: lines }),
    post(
      { ...importing, tag, path: `${PATH}/import` },
      { 200: json('How many were stored', answers.imported) },
      408,
    ),
  ]
}
