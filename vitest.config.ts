import { defineConfig } from 'vitest/config'

// Tiers by file name: *.test.ts needs no Python, *.integration.test.ts talks to a real engine, *.e2e.test.ts runs the built command, *.long.test.ts takes minutes.
const tier = (name: string, include: string[], exclude: string[], seconds: number) => ({
  test: { name, include, exclude, testTimeout: seconds * 1000, hookTimeout: 120_000 },
})

export default defineConfig({
  test: {
    projects: [
      tier('unit', ['test/**/*.test.ts'], ['test/**/*.{integration,e2e,long}.test.ts'], 20),
      tier('integration', ['test/**/*.integration.test.ts'], [], 60),
      tier('e2e', ['test/**/*.e2e.test.ts'], [], 180),
      tier('long', ['test/**/*.long.test.ts'], [], 1800),
    ],
    coverage: {
      provider: 'v8',
      include: ['src/learn/split.ts', 'src/prove/{backtest,metrics,luck,gate}.ts', 'src/features/**/*.ts'],
      // They run as compiled files, in threads that are not counted; parallel.e2e.test.ts is theirs.
      exclude: ['src/features/{parallel,thread}.ts'],
      thresholds: { branches: 95 },
    },
  },
})
