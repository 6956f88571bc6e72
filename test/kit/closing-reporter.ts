import type { Reporter, TestCase, TestModule, TestSuite } from 'vitest/node'

/**
 * Says at the very end, a line each, which tests failed and which passed on a later attempt only, with the first line
 * of what went wrong. A second attempt (`PELTON_TEST_RETRY=1`) keeps a busy machine from hiding what a change broke; it
 * must not hide that a test is unsteady.
 */
export default class ClosingReporter implements Reporter {
  readonly #lines: string[] = []

  onTestCaseResult(test: TestCase): void {
    const { state, errors } = test.result()
    const isFlaky = state === 'passed' && test.diagnostic()?.flaky === true
    if (state !== 'failed' && !isFlaky) return
    const reason = firstLine(errors?.[0]?.message ?? 'no reason given')
    this.#lines.push(
      `${isFlaky ? 'unsteady' : 'failed'}: ${test.module.relativeModuleId} > ${test.fullName}: ${reason}`,
    )
  }

  onTestSuiteResult(suite: TestSuite): void {
    for (const { message } of suite.errors()) {
      this.#lines.push(`failed: ${suite.module.relativeModuleId} > ${suite.fullName}: ${firstLine(message)}`)
    }
  }

  onTestModuleEnd(module: TestModule): void {
    for (const { message } of module.errors()) {
      this.#lines.push(`failed: ${module.relativeModuleId}: ${firstLine(message)}`)
    }
  }

  onTestRunEnd(): void {
    if (this.#lines.length > 0) process.stdout.write(`\n${this.#lines.join('\n')}\n`)
  }
}

function firstLine(text: string): string {
  return text.split('\n', 1)[0] ?? ''
}
