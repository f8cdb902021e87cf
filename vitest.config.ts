import { defineConfig } from "vitest/config";

/** The limits are for what hangs: a machine with two cores and much else to do is no failure. */
export default defineConfig({
  test: {
    reporters: ["default", "./tools/reporter.ts"],
    projects: [
      project("unit", { testTimeout: 120_000, hookTimeout: 120_000 }),
      project("integration", { testTimeout: 180_000, hookTimeout: 240_000 }),
      project("simulation", { testTimeout: 900_000, hookTimeout: 240_000 }),
      project("e2e", { testTimeout: 300_000, hookTimeout: 300_000 }),
      project("peers", { testTimeout: 180_000, hookTimeout: 240_000 }),
    ],
    // One more than the cores of a small machine: a test that waits leaves a core to another.
    maxWorkers: 3,
    maxConcurrency: 8,
  },
});

function project(name: string, options: { testTimeout: number; hookTimeout?: number }) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      pool: "forks" as const,
      // Unit tests leave nothing behind, so that their files share processes and what those have loaded.
      // Everything else meets real engines, processes and clocks; what needs a second try is named at the end.
      ...(name === "unit"
        ? { isolate: false }
        : { globalSetup: ["test/support/global-setup.ts"], retry: 1 }),
      ...options,
    },
  };
}
