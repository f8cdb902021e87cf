import type { Reporter, TestModule } from "vitest/node";

/**
 * Ends every run with one plain line, `N passed, N failed, N skipped`, and names what was skipped and
 * what passed at a second try only.
 */
export default class SummaryReporter implements Reporter {
  onTestRunEnd(modules: ReadonlyArray<TestModule>, errors: ReadonlyArray<unknown>): void {
    const counts = { passed: 0, failed: errors.length, skipped: 0 };
    const remarks: string[] = [];
    for (const module of modules) {
      // A hook that failed has no test to fail: it counts by itself.
      const suites = [...module.children.allSuites()];
      counts.failed += [module, ...suites].filter((one) => one.errors().length > 0).length;
      for (const test of module.children.allTests()) {
        const { state } = test.result();
        const name = `${module.project.name}: ${test.fullName}`;
        if (test.diagnostic()?.flaky) remarks.push(`passed at the second try ${name}`);
        if (state === "passed") counts.passed += 1;
        else if (state === "failed") counts.failed += 1;
        else {
          counts.skipped += 1;
          remarks.push(`skipped ${name}`);
        }
      }
    }
    process.on("exit", () => {
      for (const remark of remarks) console.log(remark);
      console.log(`${counts.passed} passed, ${counts.failed} failed, ${counts.skipped} skipped`);
    });
  }
}
