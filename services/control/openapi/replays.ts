import type { Operation } from '../../../shared/runtime/openapi.ts'
import { planBody, resumeBody, startBody } from '../http/input.ts'
import * as answers from './answers.ts'
import { body, get, json, post } from './operation.ts'

export const REPLAYS = 'Replays'

const PATH = '/v1/replays'

/** Below `/v1/replays`. */
export function replayOperations(): readonly Operation[] {
  const tag = REPLAYS
  const list = { id: 'list-replays', summary: 'All replays, oldest first' }
  const read = { id: 'read-replay', summary: 'State, counts, what happened to it' }
  return [
    ...beginning(),
    get({ ...list, tag, path: PATH }, json('All there are', answers.tasks)),
    get({ ...read, tag, path: `${PATH}/{task}` }, json('As it is now', answers.task), 404),
    ...deciding(),
  ]
}

function beginning(): readonly Operation[] {
  const tag = REPLAYS
  const plan = {
    id: 'plan-replay',
    summary: 'Count what a replay would do; changes nothing',
    body: body(planBody, false),
  }
  const start = {
    id: 'start-replay',
    summary: 'Start a replay',
    description: 'A filter with a condition, or `"all": true` for every dead letter there is.',
    body: body(startBody, true),
  }
  const begun = { ...json('It runs', answers.started), headers: { Location: 'Path of the replay' } }
  const nothing = json('There is nothing to send', answers.planned)
  return [
    post({ ...plan, tag, path: `${PATH}/plan` }, { 200: json('What it would do', answers.plan) }),
    post({ ...start, tag, path: PATH }, { 200: nothing, 202: begun }, 409),
  ]
}

function deciding(): readonly Operation[] {
  const tag = REPLAYS
  const one = `${PATH}/{task}`
  const pause = { id: 'pause-replay', summary: 'Pause it, wherever it runs' }
  const cancel = { id: 'cancel-replay', summary: 'End it for good' }
  const resume = { id: 'resume-replay', summary: 'Go on with it, here', body: body(resumeBody, false) }
  const over = json('As it is now', answers.task)
  return [
    post({ ...pause, tag, path: `${one}/pause` }, { 200: over }, 404, 409),
    post({ ...cancel, tag, path: `${one}/cancel` }, { 200: over }, 404, 409),
    post({ ...resume, tag, path: `${one}/resume` }, { 202: json('It runs', answers.task) }, 404, 409),
  ]
}
