/** The last outcomes of a replay: tells when too many fail again. */
export interface FailureBound {
  add(hasFailed: boolean): void
  /** Failures and size of the window, when it holds enough and more failed than allowed. */
  tooMany(): { readonly failed: number; readonly of: number } | undefined
}

/** Fewer outcomes than this say nothing. */
const LEAST_OUTCOMES = 20
const WINDOW = 100

/** @param maxShare of failures, 0 to 1: at 1 nothing is too many */
export function createFailureBound(maxShare: number): FailureBound {
  const last: boolean[] = []
  return {
    add: (hasFailed) => {
      last.push(hasFailed)
      if (last.length > WINDOW) last.shift()
    },
    tooMany: () => {
      const failed = last.filter(Boolean).length
      const isTooMany = last.length >= LEAST_OUTCOMES && failed / last.length > maxShare
      return isTooMany ? { failed, of: last.length } : undefined
    },
  }
}
