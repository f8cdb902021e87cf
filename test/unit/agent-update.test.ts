import { expect, test } from "vitest";
import { startBench } from "../support/bench-device.ts";

test("an update by patch ends with the new image confirmed and reported", async () => {
  const bench = await startBench();
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer, bench.patchOffer]);
  await bench.until(() => bench.phases().at(-1) === "succeeded");
  expect(bench.phases()).toEqual([
    "downloading",
    "installing",
    "rebooting",
    "confirming",
    "succeeded",
  ]);
  expect(bench.running()).toMatchObject({ version: "1.1.0", slot: "b" });
  expect(bench.machine.status().downloadedBytes).toBe(bench.patchOffer.sizeBytes);
});
