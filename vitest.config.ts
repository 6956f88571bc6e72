import { availableParallelism } from 'node:os'
import { defineConfig } from 'vitest/config'
import { PATIENT } from './test/kit/wait.ts'

const setupFiles = ['test/kit/property-seed.ts']

/** How often a failed test is run once more: CI asks for one, and lists what needed it. */
const retry = Number(process.env.PELTON_TEST_RETRY ?? 0)

/**
 * Files at the same time. Much of a test's time is waiting: for an election, a redelivery, a process that starts. With four files
 * at once two cores are busy nine tenths of the time; with six they are no faster, and each process costs more of them.
 */
const maxWorkers = Number(process.env.PELTON_TEST_WORKERS ?? Math.min(12, 2 * availableParallelism()))

/** Loading what a file imports costs a second: files share what they loaded, and leave nothing behind. */
const isolate = false

/** How long `expect.poll` looks: as a test that waits for something is held to no time, far longer than a busy machine needs. */
const expect = { poll: PATIENT }

export default defineConfig({
  test: {
    maxWorkers,
    reporters: ['default', './test/kit/closing-reporter.ts'],
    projects: [
      {
        test: {
          name: 'unit',
          retry,
          expect,
          isolate,
          include: [
            '{services,shared,test/kit,test/bench,test/scenarios,test/simulate,test/plots}/**/*.test.ts',
          ],
          hookTimeout: 300_000,
          testTimeout: 60_000,
          setupFiles,
        },
      },
      {
        test: {
          name: 'integration',
          retry,
          expect,
          isolate,
          include: ['test/{integration,packaging,conformance,scale,drift}/**/*.test.ts'],
          testTimeout: 600_000,
          maxConcurrency: 4,
          setupFiles,
          hookTimeout: 600_000,
          globalSetup: ['test/kit/global-setup.ts', 'test/kit/compiled.ts'],
        },
      },
      {
        test: {
          name: 'e2e',
          retry,
          expect,
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          globalSetup: ['test/kit/global-setup.ts', 'test/kit/compiled.ts'],
        },
      },
      {
        test: {
          name: 'faults',
          retry,
          expect,
          include: ['test/faults/**/*.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 300_000,
          globalSetup: ['test/kit/global-setup.ts', 'test/kit/compiled.ts', 'test/faults/kit/table.ts'],
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'containers',
          retry,
          expect,
          include: ['test/containers/**/*.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
