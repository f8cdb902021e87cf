import { generateKeyPairSync } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import type { TLSSocket } from "node:tls";
import { afterAll, expect, it } from "vitest";
import { ClientCheck } from "../../src/cache/client-check.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { artifactLinkPath } from "../../src/protocol/index.ts";

const directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-client-check-"));
afterAll(() => fs.rmSync(directory, { recursive: true }));

const sha256 = "a".repeat(64);
const socket = {} as TLSSocket;

function makeLinkKey(id: string) {
  const { privateKey, publicKey } = generateKeyPairSync("ed25519");
  const spki = publicKey.export({ type: "spki", format: "der" }).toString("base64");
  return { id, privateKey, spki };
}

async function stage(name: string) {
  const folder = path.join(directory, name);
  fs.mkdirSync(folder);
  const clock = new VirtualClock(1_800_000_000_000);
  const [old, fresh] = [makeLinkKey("old"), makeLinkKey("fresh")];
  const platform = { keys: [old], asked: 0, answers: Promise.resolve() };
  const clients = new ClientCheck({
    identity: {
      tenantId: "acme",
      deviceId: "cache",
      trustDomain: "devices.example",
      authorities: [],
      notAfter: new Date(clock.now() + 86_400_000),
    },
    upstream: {
      fetch: () => Promise.reject(new Error("no artifact is asked for")),
      async readJson() {
        platform.asked += 1;
        await platform.answers;
        return { keys: Object.fromEntries(platform.keys.map(({ id, spki }) => [id, spki])) };
      },
    },
    directory: folder,
    clock,
    log: () => {},
  });
  await clients.start();
  const check = (key: typeof old) => {
    const expires = Math.floor(clock.now() / 1000) + 60;
    const link = artifactLinkPath({ sha256, tenantId: "acme", deviceId: null, expires }, key);
    const query = Object.fromEntries(new URL(link, "https://cache").searchParams);
    return clients.check(socket, sha256, query);
  };
  return { clock, platform, check, old, fresh };
}

it("lets all links of a new key wait for the one request that learns it", async () => {
  const { clock, platform, check, old, fresh } = await stage("new");
  await clock.advance(60_000);
  platform.keys = [old, fresh];
  const { promise, resolve } = Promise.withResolvers<void>();
  platform.answers = promise;
  const checks = [check(fresh), check(fresh), check(fresh)];
  resolve();
  for (const device of await Promise.all(checks)) expect(device.tenantId).toBe("acme");
  expect(platform.asked).toBe(2);
});

it("asks again once an hour, so that a key that was withdrawn opens nothing for long", async () => {
  const { clock, platform, check, old, fresh } = await stage("withdrawn");
  platform.keys = [fresh];
  await clock.advance(3_599_000);
  await check(old);
  expect(platform.asked).toBe(1);
  await clock.advance(1_000);
  // Beside the answer, which waits for no platform.
  await check(old);
  await expect.poll(() => check(old).catch((error) => error.code)).toBe("link-refused");
  expect(platform.asked).toBe(2);
});
