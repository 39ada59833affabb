import { defineConfig } from 'vitest/config';

export default defineConfig({
  test: {
    projects: [
      {
        test: {
          name: 'unit',
          include: [
            'packages/*/src/**/*.test.ts',
            'services/*/src/**/*.test.ts',
            'test/{tidy,pool,model,fuzz,kubernetes,simulation}/**/*.test.ts',
          ],
          // Whole clusters in virtual time: on a busy machine some take a minute.
          testTimeout: 180_000,
          exclude: ['**/*.nats.test.ts', '**/*.process.test.ts', '**/*.cluster.test.ts', '**/node_modules/**'],
        },
      },
      {
        // On the double of the API server, or on the cluster that `npm run test:kubernetes` was given.
        test: {
          name: 'kubernetes',
          globalSetup: ['test/global-setup.ts'],
          include: ['test/kubernetes/**/*.cluster.test.ts'],
          exclude: ['**/node_modules/**'],
          testTimeout: 300_000,
          hookTimeout: 300_000,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'real',
          globalSetup: ['test/global-setup.ts'],
          include: [
            'packages/*/src/**/*.nats.test.ts',
            '{packages,services}/*/src/**/*.process.test.ts',
            'test/simulation/**/*.process.test.ts',
            'test/{integration,end-to-end}/**/*.test.ts',
          ],
          exclude: ['**/node_modules/**'],
          // A small machine that does other things too takes seconds for each process that is started.
          testTimeout: 300_000,
          hookTimeout: 300_000,
          maxWorkers: 1,
          fileParallelism: false,
        },
      },
      {
        test: {
          name: 'docker',
          globalSetup: ['test/docker/global-setup.ts'],
          include: ['test/docker/**/*.test.ts'],
          // What is started ends with its scope; the container that would see to that would have to be fetched first.
          env: { TESTCONTAINERS_RYUK_DISABLED: 'true' },
          testTimeout: 600_000,
          hookTimeout: 600_000,
          maxWorkers: 1,
          fileParallelism: false,
        },
      },
    ],
  },
});
