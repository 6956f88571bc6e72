import { z } from 'zod'
import type { Operation } from '../../../shared/runtime/openapi.ts'
import { auditBody } from '../http/input.ts'
import * as answers from './answers.ts'
import { body, get, json, post } from './operation.ts'

export const WATCH = 'Watch'
export const HEALTH = 'Health'

/** `/v1/status`, `/v1/watch`, `/v1/audit`. */
export function watchOperations(): readonly Operation[] {
  const tag = WATCH
  const status = { id: 'read-status', summary: 'Streams, consumers, backlog, pace, troubles of servers' }
  const watch = { id: 'read-watch', summary: 'Alerts, what was done, who watches' }
  const last = { id: 'read-audit', summary: 'The last audit that ended here' }
  const run = { id: 'run-audit', summary: 'Run an audit', body: body(auditBody, false) }
  return [
    get({ ...status, tag, path: '/v1/status' }, json('As `pelton status --json` has it', answers.status)),
    get({ ...watch, tag, path: '/v1/watch' }, json('The record of the watch', answers.watch)),
    get({ ...last, tag, path: '/v1/audit' }, json('When, and what it found', answers.lastAudit), 404),
    post({ ...run, tag, path: '/v1/audit' }, { 200: json('What it found', answers.auditReport) }, 409),
  ]
}

/** What every service has. */
export function healthOperations(): readonly Operation[] {
  const open = { method: 'get', tag: HEALTH, isOpen: true } as const
  const live = { path: '/livez', id: 'check-liveness', summary: 'Whether the process lives' }
  const ready = { path: '/readyz', id: 'check-readiness', summary: 'Whether it is ready' }
  const metrics = { path: '/metrics', id: 'read-metrics', summary: 'Metrics as Prometheus text' }
  return [
    { ...open, ...live, answers: { 200: json('It does', answers.alive) } },
    {
      ...{ ...open, ...ready },
      answers: { 200: json('It is', answers.readiness), 503: json('Not yet, and why', answers.readiness) },
    },
    {
      ...{ ...open, ...metrics },
      answers: { 200: { description: 'All of them', content: { 'text/plain': z.string() } } },
    },
  ]
}
