import { defineConfig } from 'vitest/config'

const setupFiles = ['test/kit/property-seed.ts']

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: ['services/**/*.test.ts', 'shared/**/*.test.ts'],
          hookTimeout: 300_000,
          testTimeout: 60_000,
          setupFiles,
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/{integration,packaging,conformance,scale,drift}/**/*.test.ts'],
          testTimeout: 120_000,
          setupFiles,
          hookTimeout: 300_000,
          globalSetup: ['test/kit/global-setup.ts'],
        },
      },
      {
        test: {
          name: 'e2e',
          include: ['test/e2e/**/*.test.ts'],
          testTimeout: 600_000,
          hookTimeout: 300_000,
          globalSetup: ['test/kit/global-setup.ts'],
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'faults',
          include: ['test/faults/**/*.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 300_000,
          globalSetup: ['test/kit/global-setup.ts', 'test/faults/kit/table.ts'],
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'containers',
          include: ['test/containers/**/*.test.ts'],
          testTimeout: 900_000,
          hookTimeout: 900_000,
          fileParallelism: false,
        },
      },
    ],
  },
})
