import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { openFileStorage, type Storage } from "../../src/agent/index.ts";
import { writeDocument } from "../../src/agent/offline/atomic-file.ts";
import { TrustStore } from "../../src/agent/update/trust-store.ts";
import { makeKey, makeOnlineKeys, makeRoot } from "../support/signing.ts";

const online = makeOnlineKeys();
const first = { root: makeKey(), release: [makeKey()] };
const second = { root: makeKey(), release: [makeKey()] };
const provisioned = makeRoot("acme", first, online);
const rotated = makeRoot("acme", second, online, {
  version: 2,
  signers: [first.root, second.root],
});
const third = makeRoot("acme", second, online, { version: 3, signers: [second.root] });
const log = { write() {} };

let folder: string;
let storage: Storage;
beforeEach(async () => {
  folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-trust-"));
  storage = await openFileStorage(folder);
});
afterEach(() => fs.rmSync(folder, { recursive: true, force: true }));

test("roots that were followed are believed at the next start, each by the one before", async () => {
  const store = await TrustStore.load(storage, provisioned);
  await store.receive({ roots: [rotated, third] }, log);
  expect(store.describe().root).toBe(3);
  const again = await TrustStore.load(storage, provisioned);
  expect(again.describe().root).toBe(3);
  expect(again.wasDamaged).toBe(false);
  // A device whose image brings a newer root along needs less of the way.
  expect((await TrustStore.load(storage, rotated)).describe().root).toBe(3);
});

test("a root that was written onto the disk by somebody else is not believed", async () => {
  const stranger = { root: makeKey(), release: [makeKey()] };
  const forged = makeRoot("acme", stranger, online, { version: 9 });
  const versions = { timestamp: 0, snapshot: 0, targets: 0 };
  for (const way of [undefined, [], [forged], [rotated, forged]]) {
    await writeDocument(storage, "trust.json", { root: forged, versions, path: way });
    const store = await TrustStore.load(storage, provisioned);
    expect(store.describe().root).toBe(1);
    expect(store.wasDamaged).toBe(true);
  }
});
