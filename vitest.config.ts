import { defineConfig } from "vitest/config";

/** Slow projects run their files one after another: the machine may have two cores only. */
export default defineConfig({
  test: {
    reporters: ["default", "./tools/reporter.ts"],
    projects: [
      project("unit", { testTimeout: 20_000 }),
      project("integration", { testTimeout: 60_000, hookTimeout: 120_000 }),
      project("simulation", { testTimeout: 240_000, hookTimeout: 120_000 }),
      project("e2e", { testTimeout: 240_000, hookTimeout: 240_000 }),
      project("peers", { testTimeout: 120_000, hookTimeout: 120_000 }),
    ],
    maxWorkers: 2,
  },
});

function project(name: string, options: { testTimeout: number; hookTimeout?: number }) {
  return {
    extends: true as const,
    test: {
      name,
      include: [`test/${name}/**/*.test.ts`],
      pool: "forks" as const,
      ...(name === "unit" ? {} : { globalSetup: ["test/support/global-setup.ts"] }),
      ...options,
    },
  };
}
