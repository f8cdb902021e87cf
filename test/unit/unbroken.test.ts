import { describe, expect, it } from "vitest";

/** By its address: the console is a project of its own to the compiler. */
const page = new URL("../../web/src/pages/health/unbroken.ts", import.meta.url).href;
const { unbroken } = (await import(page)) as {
  unbroken(moments: readonly { at: string }[]): { at: string }[][];
};

describe("looks at a fleet", () => {
  const at = (minutes: number) => ({ at: new Date(minutes * 60_000).toISOString() });
  const runs = (...minutes: number[]) => unbroken(minutes.map(at)).map(({ length }) => length);

  it("are one line while they come as usual, or a little late", () => {
    expect(runs()).toEqual([]);
    expect(runs(0)).toEqual([1]);
    expect(runs(0, 10, 20, 35, 45)).toEqual([5]);
    // Thinned: seven days in steps of fifty minutes.
    expect(runs(0, 50, 100, 150, 210)).toEqual([5]);
  });

  it("are cut where nobody looked", () => {
    expect(runs(0, 10, 20, 140, 150, 160, 400)).toEqual([3, 3, 1]);
    expect(runs(0, 50, 100, 300, 350)).toEqual([3, 2]);
  });
});
