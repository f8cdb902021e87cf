import { expect, test } from "vitest";
import { randomInteger, seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import {
  createFleet,
  type DeviceFault,
  StubPlatform,
  sha256Of,
} from "../../src/simulator/index.ts";
import { passTime, patchOf } from "../support/bench-device.ts";

const DEVICES = 30;

/** Whatever can happen to a device on its way, none of it the image's fault. */
function randomFault(random: { next(): number }): DeviceFault | undefined {
  const draw = randomInteger(random, 4);
  if (draw === 0) return { kind: "power-cut", afterOperations: 1 + randomInteger(random, 90) };
  if (draw === 1) return { kind: "bad-link", meanSessionMs: 30_000, brokenDownloads: 0.5 };
  if (draw === 2) return { kind: "crash-loop", everyMs: 120_000 };
  return undefined;
}

test.each([11, 12, 13])("a fleet with faults of seed %i converges on the release", async (seed) => {
  const clock = new VirtualClock();
  const platform = new StubPlatform({ tenant: "acme", clock });
  const random = seededRandom(seed);
  const oldImage = Buffer.from(Array.from({ length: 60_000 }, () => randomInteger(random, 256)));
  const newImage = Buffer.concat([oldImage.subarray(0, 50_000), Buffer.from("the new part")]);
  const deviceId = (index: number) => `device-${index}`;
  const fleet = createFleet({
    count: DEVICES,
    seed,
    clock,
    spreadMs: 5_000,
    provisioning: async (index) => ({
      tenant: "acme",
      device: deviceId(index),
      product: "sensor",
      hardwareRevision: "r1",
      mqttUrl: "mqtts://platform.invalid",
      httpsUrl: "https://platform.invalid",
      key: "",
      certificate: "",
      root: "",
      trustRoot: platform.trustRoot,
    }),
    network: ({ device }) => ({
      transport: platform.transport(device),
      artifacts: platform.artifactSource(),
    }),
    factory: { image: oldImage, release: platform.release("1.0.0", oldImage) },
    slotCapacityBytes: 256 * 1024,
  });
  const started = fleet.start();
  await passTime(clock, () => fleet.status().connected === DEVICES, 120_000);
  await started;
  const release = platform.release("1.1.0", newImage);
  const full = platform.offer("full", newImage);
  const patch = await patchOf(oldImage, newImage);
  const offers = [full, platform.offer("zstd-patch", patch, sha256Of(oldImage))];
  for (let index = 0; index < DEVICES; index += 1) {
    const fault = randomFault(random);
    if (fault) fleet.inject(deviceId(index), fault);
    platform.assign(deviceId(index), release, offers);
  }
  const told = (index: number) => platform.updateStates(deviceId(index)).at(-1);
  const all = Array.from({ length: DEVICES }, (_, index) => index);
  await passTime(
    clock,
    () => all.every((index) => told(index)?.phase === "succeeded"),
    6 * 3_600_000,
  );
  expect(fleet.status().byVersion).toEqual({ "1.1.0": DEVICES });
  expect(all.map((index) => told(index)?.running?.hash)).toEqual(all.map(() => sha256Of(newImage)));
  await fleet.stop();
});
