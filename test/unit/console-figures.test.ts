import { describe, expect, it } from "vitest";

const figures = new URL("../../web/src/components/format.ts", import.meta.url).href;
const { formatTicks } = (await import(figures)) as {
  formatTicks(ticks: readonly number[]): string[];
};

describe("labels of an axis", () => {
  it.each([
    [
      [87.5, 87.75, 88],
      ["87.5", "87.75", "88"],
    ],
    [
      [1012, 1013, 1014],
      ["1,012", "1,013", "1,014"],
    ],
    [
      [0, 0.0005, 0.001],
      ["0", "5.0e-4", "0.001"],
    ],
    [
      [1_000_000, 1_000_500, 1_001_000],
      ["1M", "1.0005M", "1.001M"],
    ],
    [
      [-0.30000000000000004, -0.2, 0],
      ["-0.3", "-0.2", "0"],
    ],
    [[7], ["7"]],
    [[], []],
  ])("of %j tell them apart", (ticks, labels) => {
    expect(formatTicks(ticks)).toEqual(labels);
  });
});
