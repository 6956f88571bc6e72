import type { Names } from '../../sdk/contract/names.ts'
import { PeltonError } from '../../sdk/errors.ts'

/** What a check found. */
export interface Finding {
  readonly level: 'ok' | 'warn' | 'fail' | 'unknown'
  /** What was looked at: `clock`, `stream FEATURES`. */
  readonly check: string
  readonly text: string
  /** How to mend it; absent where nothing has to be. */
  readonly remedy?: string
}

/** All is well: nothing has to be done. */
export function ok(check: string, text: string): Finding {
  return { level: 'ok', check, text }
}

/** It works, and can be better, or will not work for long. */
export function warn(check: string, text: string, remedy: string): Finding {
  return { level: 'warn', check, text, remedy }
}

/** It does not work, or events can be lost. */
export function fail(check: string, text: string, remedy: string): Finding {
  return { level: 'fail', check, text, remedy }
}

/** Said honestly where nothing can be known with the rights at hand. */
export function unknown(check: string, text: string, remedy: string): Finding {
  return { level: 'unknown', check, text, remedy }
}

/** A finding for people, with the streams it names as the broker has them. */
export function namedFinding({ text }: Names, finding: Finding): Finding {
  const remedy = finding.remedy && { remedy: text(finding.remedy) }
  return { ...finding, check: text(finding.check), text: text(finding.text), ...remedy }
}

/** Runs a check; one that throws is a finding too, and does not stop the others. */
export async function examine(
  check: string,
  work: () => Promise<readonly Finding[]>,
): Promise<readonly Finding[]> {
  try {
    return await work()
  } catch (thrown) {
    const { message } = thrown instanceof Error ? thrown : new Error(String(thrown))
    const remedy = isRefusedByRights(thrown)
      ? 'Use a user with the rights of control (infra/nats), or give this one more.'
      : 'Mend what it says, then run doctor again.'
    return [fail(check, message, remedy)]
  }
}

/** Whether the broker refused a request because the user has no right to it. */
export function isRefusedByRights(thrown: unknown): boolean {
  for (let error = thrown; error instanceof Error; error = error.cause) {
    if (/permission/i.test(`${error.name} ${error.message}`)) return true
  }
  return thrown instanceof PeltonError && /permission/i.test(thrown.message)
}
