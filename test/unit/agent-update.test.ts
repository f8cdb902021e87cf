import { expect, test } from "vitest";
import type { LogLine } from "../../src/protocol/index.ts";
import { sha256Of } from "../../src/simulator/index.ts";
import { type Bench, startBench } from "../support/bench-device.ts";

const FINAL = ["succeeded", "failed", "fell-back", "rejected"];
const WHOLE_WAY = ["downloading", "installing", "rebooting", "confirming"];

function ended(bench: Bench): () => boolean {
  return () => FINAL.includes(bench.phases().at(-1) ?? "");
}

function lastState(bench: Bench) {
  return bench.platform.updateStates(bench.device).at(-1);
}

function events(bench: Bench, type: string) {
  const all = bench.platform.received(bench.device, "events") as { type: string }[];
  return all.filter((event) => event.type === type);
}

test("an update by patch ends with the new image confirmed and reported", async () => {
  const bench = await startBench();
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer, bench.patchOffer]);
  await bench.until(ended(bench));
  expect(bench.phases()).toEqual([...WHOLE_WAY, "succeeded"]);
  expect(bench.running()).toMatchObject({ version: "1.1.0", slot: "b" });
  expect(lastState(bench)?.running?.hash).toBe(sha256Of(bench.newImage));
  expect(bench.machine.status().downloadedBytes).toBe(bench.patchOffer.sizeBytes);
  const lines = () => (bench.platform.received(bench.device, "logs") as LogLine[][]).flat();
  const spans = () => lines().flatMap(({ attributes }) => attributes?.["span.name"] ?? []);
  await bench.until(() => spans().length >= WHOLE_WAY.length);
  expect(spans()).toEqual(WHOLE_WAY.map((phase) => `update ${phase}`));
});

test.each([1, 5, 20, 40, 60, 80, 95])(
  "a power cut at the %i-th change of the flash delays the update and no more",
  async (operation) => {
    const bench = await startBench({ seed: operation });
    bench.machine.cutPowerAfter(operation);
    bench.platform.assign(bench.device, bench.newRelease, [bench.patchOffer]);
    await bench.until(ended(bench));
    expect(lastState(bench)).toMatchObject({ phase: "succeeded" });
    expect(bench.machine.status().powerCuts).toBe(1);
  },
);

test("an assignment that comes again is answered and not carried out again", async () => {
  const bench = await startBench();
  const envelope = bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench));
  const { boots } = bench.machine.status();
  const told = bench.platform.updateStates(bench.device).length;
  bench.platform.send(bench.device, "update", envelope);
  await bench.until(() => bench.platform.updateStates(bench.device).length > told);
  expect(lastState(bench)?.phase).toBe("succeeded");
  expect(bench.machine.status().boots).toBe(boots);
});

test("an assignment with a sequence that was used before is rejected", async () => {
  const bench = await startBench();
  const envelope = bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench));
  const stale = bench.platform.sign({ ...envelope.signed, updateId: "replayed" });
  bench.platform.send(bench.device, "update", stale);
  await bench.until(() => lastState(bench)?.phase === "rejected");
  expect(lastState(bench)?.error).toMatchObject({ phase: "verifying", element: "sequence" });
});

test("a forged assignment and one short of a release key are rejected and change nothing", async () => {
  const bench = await startBench();
  const { platform, device } = bench;
  const genuine = platform.assign("another", bench.newRelease, [bench.fullOffer]).signed;
  const forged = platform.sign({ ...genuine, device, updateId: "forged" });
  forged.signed.allowDowngrade = true;
  platform.send(device, "update", forged);
  await bench.until(() => lastState(bench)?.phase === "rejected");
  expect(lastState(bench)?.error?.element).toBe("director-signature");

  platform.assign(device, platform.release("1.1.0", bench.newImage, {}, 1), [bench.fullOffer]);
  await bench.until(() => lastState(bench)?.error?.element === "release-signature");
  expect(bench.running()?.version).toBe("1.0.0");
  expect(bench.machine.status().downloadedBytes).toBe(0);
});

test("a patch with a wrong hash gives way to the full image", async () => {
  const bench = await startBench();
  bench.platform.replaceArtifact(bench.patchOffer.sha256, Buffer.alloc(bench.patchOffer.sizeBytes));
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer, bench.patchOffer]);
  await bench.until(ended(bench));
  expect(lastState(bench)).toMatchObject({ phase: "succeeded", format: "full" });
});

test("an artifact that makes another image fails, and the running one stays", async () => {
  const bench = await startBench();
  const wrong = Buffer.alloc(bench.newImage.length, 7);
  bench.platform.assign(bench.device, bench.newRelease, [bench.platform.offer("full", wrong)]);
  await bench.until(ended(bench));
  expect(lastState(bench)).toMatchObject({
    phase: "failed",
    error: { phase: "installing", element: "image-hash" },
  });
  expect(bench.running()?.version).toBe("1.0.0");
});

test("a truncated artifact is fetched until its deadline and reported as late", async () => {
  const bench = await startBench();
  const { sha256 } = bench.fullOffer;
  bench.platform.replaceArtifact(sha256, bench.newImage.subarray(0, 10_000));
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench), 7_200_000);
  expect(lastState(bench)).toMatchObject({
    phase: "failed",
    error: { phase: "downloading", element: "deadline" },
  });
});

test("an artifact that is gone fails the update at once", async () => {
  const bench = await startBench();
  bench.platform.replaceArtifact(bench.fullOffer.sha256, undefined);
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench), 60_000);
  expect(lastState(bench)?.error).toMatchObject({ element: "artifact" });
});

test("going offline in the middle resumes where the download stopped", async () => {
  const bench = await startBench({ imageBytes: 400_000 });
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  bench.machine.inject({ kind: "bad-link", meanSessionMs: 20_000, brokenDownloads: 0.7 });
  await bench.until(() => bench.running()?.version === "1.1.0");
  bench.machine.heal();
  await bench.until(ended(bench));
  expect(lastState(bench)?.phase).toBe("succeeded");
  // Every byte once, but for what a broken connection had not made safe.
  expect(bench.machine.status().downloadedBytes).toBeLessThan(bench.newImage.length * 1.5);
});

test("an image that fails its self-test is left, and the report says what failed", async () => {
  const bench = await startBench({
    behaviours: ({ newSha256 }) => ({ [newSha256]: { faults: [{ kind: "failing-self-test" }] } }),
  });
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench));
  expect(lastState(bench)).toMatchObject({
    phase: "fell-back",
    error: { phase: "confirming", element: "sensor-bus" },
    running: { version: "1.0.0" },
  });
  await bench.until(() => events(bench, "fallback").length > 0);
  expect(events(bench, "self-test")).toMatchObject([{ passed: false, element: "sensor-bus" }]);
});

test("an image that hangs at boot uses up its tries, and the old one reports it", async () => {
  const bench = await startBench({
    behaviours: ({ newSha256 }) => ({ [newSha256]: { faults: [{ kind: "hang-at-boot" }] } }),
  });
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench));
  expect(lastState(bench)).toMatchObject({
    phase: "fell-back",
    error: { phase: "rebooting", element: "boot" },
  });
  expect(bench.machine.status().watchdogResets).toBe(3);
  await bench.until(() => events(bench, "boot").length > 1);
  expect(events(bench, "boot").at(-1)).toMatchObject({ reason: "fallback" });
});

test("an image that cannot reach the platform is not kept", async () => {
  const bench = await startBench();
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(() => bench.machine.status().agent === undefined);
  bench.platform.setDown(true);
  await bench.until(() => bench.running()?.version === "1.0.0");
  bench.platform.setDown(false);
  await bench.until(ended(bench));
  expect(lastState(bench)).toMatchObject({ phase: "fell-back", error: { element: "platform" } });
});

test("the floor rises with a confirmed image and refuses what lies below it", async () => {
  const bench = await startBench();
  const { platform, device } = bench;
  const safer = platform.release("1.1.0", bench.newImage, { securityCounter: 5 });
  platform.assign(device, safer, [bench.fullOffer]);
  await bench.until(ended(bench));
  const old = platform.release("1.0.0", bench.oldImage);
  platform.assign(device, old, [platform.offer("full", bench.oldImage)], { allowDowngrade: true });
  await bench.until(() => lastState(bench)?.phase === "rejected");
  expect(lastState(bench)?.error?.element).toBe("security-counter");
});

test("switching back to the other slot downloads nothing", async () => {
  const bench = await startBench();
  const { platform, device } = bench;
  platform.assign(device, bench.newRelease, [bench.fullOffer]);
  await bench.until(ended(bench));
  const before = bench.machine.status().downloadedBytes;
  const old = platform.release("1.0.0", bench.oldImage);
  const back = platform.assign(device, old, [platform.offer("full", bench.oldImage)], {
    action: "switch-slot",
    allowDowngrade: true,
  });
  await bench.until(() => lastState(bench)?.updateId === back.signed.updateId && ended(bench)());
  expect(lastState(bench)).toMatchObject({ phase: "succeeded", running: { version: "1.0.0" } });
  expect(bench.machine.status().downloadedBytes).toBe(before);
});

test("a cancelled update ends before it restarts", async () => {
  const bench = await startBench();
  const { platform, device } = bench;
  platform.replaceArtifact(bench.fullOffer.sha256, bench.newImage.subarray(0, 10));
  const { updateId } = platform.assign(device, bench.newRelease, [bench.fullOffer]).signed;
  await bench.until(() => bench.phases().at(-1) === "downloading");
  platform.assign(device, null, [], { action: "cancel", updateId });
  await bench.until(ended(bench));
  expect(lastState(bench)).toMatchObject({
    updateId,
    phase: "failed",
    error: { element: "cancelled" },
  });
});

test("a flash that ran full keeps a working image, and the update ends when there is room", async () => {
  const bench = await startBench();
  bench.machine.inject({ kind: "flash-full", sizeBytes: 60_000 });
  bench.platform.assign(bench.device, bench.newRelease, [bench.fullOffer]);
  await bench.until(() => bench.machine.status().downloadedBytes > 0);
  await bench.clock.advance(5_000);
  bench.machine.heal();
  bench.machine.powerOff();
  bench.machine.powerOn();
  // It may have ended before the power went.
  await bench.until(() => bench.running() !== undefined);
  await bench.until(ended(bench));
  expect(["succeeded", "failed"]).toContain(lastState(bench)?.phase);
  expect(["1.0.0", "1.1.0"]).toContain(bench.running()?.version);
});
