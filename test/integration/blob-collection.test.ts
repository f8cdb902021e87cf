import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BlobStore, openBlobStore } from "../../src/blobs/index.ts";
import { createFirmware, type Firmware } from "../../src/firmware/index.ts";
import type { Clock } from "../../src/kernel/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { signDocument } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";
import { silentLogger } from "../support/timeseries.ts";

const DAY_MS = 86_400_000;
const hashOf = (content: Buffer) => createHash("sha256").update(content).digest("hex");

describe("the collection of blobs", () => {
  let test: TestDatabase;
  let directory: string;
  let blobs: BlobStore;
  let firmware: Firmware;
  let later: Firmware;
  const keys = { root: makeKey(), release: [makeKey()] };

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-collection-"));
    blobs = openBlobStore({ directory });
    firmware = firmwareAt(0);
    later = firmwareAt(2 * DAY_MS);
    const tenancy = createTenancy({ db: test.db, clock: systemClock });
    for (const id of ["acme", "globex"]) {
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
      const online = await firmware.ensureOnlineKeys(id);
      await firmware.setTrustRoot(id, makeRoot(id, keys, online), SYSTEM_ACTOR);
    }
  });
  afterAll(async () => {
    await firmware?.stop();
    await later?.stop();
    await test?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  function firmwareAt(aheadMs: number): Firmware {
    const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };
    return createFirmware({
      db: test.db,
      clock,
      blobs,
      sealer: createSealer(Buffer.alloc(32, 1)),
      tenancy: createTenancy({ db: test.db, clock: systemClock }),
      logger: silentLogger,
    });
  }

  function publish(tenant: string, image: Buffer, version: string, at = firmware) {
    const envelope = signDocument(makeManifest(image, { tenant, version }), keys.release);
    return at.publish(tenant, { envelope, image: Readable.from([image]) }, SYSTEM_ACTOR);
  }
  const store = (content: Buffer) => blobs.put(Readable.from([content]), { maxBytes: 1_000_000 });

  it("takes what nothing refers to after its grace, and nothing else", async () => {
    const released = randomBytes(1_000);
    await publish("acme", released, "1.0.0");
    const loose = await store(randomBytes(1_000));
    expect(await firmware.collection.collectBlobs()).toMatchObject({ blobs: 0 });
    expect(await blobs.has(loose.sha256)).toBe(true);
    expect(await later.collection.collectBlobs()).toEqual({
      blobs: 1,
      sizeBytes: 1_000,
      uploads: 0,
    });
    expect(await blobs.has(loose.sha256)).toBe(false);
    expect(await blobs.has(hashOf(released))).toBe(true);
  });

  it("leaves what another tenant has, and takes it when the last one has gone", async () => {
    const shared = randomBytes(1_000);
    await publish("acme", shared, "2.0.0");
    await publish("globex", shared, "2.0.0");
    const forget = (tenant: string) =>
      test.db.tenant(tenant, (tx) =>
        tx
          .deleteFrom("releases")
          .where("tenant_id", "=", tenant)
          .where("version", "=", "2.0.0")
          .execute(),
      );
    await forget("acme");
    const due = new Date(Date.now() + DAY_MS);
    expect(await test.db.tenantsWith("unused_artifacts", due)).toEqual(["acme"]);
    expect(await firmware.collection.collectArtifacts("acme")).toBe(0);
    expect(await later.collection.collectArtifacts("acme")).toBe(1);
    await expect(firmware.openArtifact("acme", hashOf(shared))).rejects.toThrow();
    await later.collection.collectBlobs();
    expect((await firmware.openArtifact("globex", hashOf(shared))).sizeBytes).toBe(1_000);
    await forget("globex");
    expect(await later.collection.collectArtifacts("globex")).toBe(1);
    await later.collection.collectBlobs();
    expect(await blobs.has(hashOf(shared))).toBe(false);
  });

  it("leaves the further files of a release: what devices may have, and documents", async () => {
    const { id } = await publish("acme", randomBytes(1_000), "5.0.0");
    const files = [
      { role: "component" as const, component: "boot", ...(await store(randomBytes(300))) },
      { role: "sbom" as const, component: "", ...(await store(randomBytes(400))) },
    ];
    await test.db.tenant("acme", async (tx) => {
      for (const { role, component, sha256, sizeBytes } of files) {
        const common = { tenant_id: "acme", sha256, size_bytes: sizeBytes };
        if (role === "component") {
          await tx
            .insertInto("artifacts")
            .values({ ...common, kind: "image", created_at: new Date() })
            .execute();
        }
        await tx
          .insertInto("release_files")
          .values({ ...common, release_id: id, role, component, name: role, summary: null })
          .execute();
      }
    });
    const due = new Date(Date.now() + DAY_MS);
    expect(await test.db.tenantsWith("unused_artifacts", due)).toEqual([]);
    expect(await later.collection.collectArtifacts("acme")).toBe(0);
    await later.collection.collectBlobs();
    for (const { sha256 } of files) expect(await blobs.has(sha256)).toBe(true);
  });

  it("leaves finished uploads, and takes the bytes of uploads that nobody knows", async () => {
    const content = randomBytes(500);
    const { uploads } = firmware;
    const made = { sizeBytes: content.length, metadata: "", name: "", expectedSha256: null };
    const { id } = await uploads.create("acme", made, SYSTEM_ACTOR);
    await uploads.append(
      "acme",
      id,
      { offset: 0, content: Readable.from([content]) },
      SYSTEM_ACTOR,
    );
    const orphan = await blobs.staging.writer("01990000-0000-7000-8000-00000000000b", 0, null);
    await orphan.close();
    expect(await later.collection.collectBlobs()).toMatchObject({ uploads: 1 });
    expect(await blobs.has(hashOf(content))).toBe(true);
  });

  it("never takes an artifact that is published again at the same moment", async () => {
    for (let round = 0; round < 6; round += 1) {
      const image = randomBytes(1_000);
      await publish("acme", image, `6.0.${round}`);
      await test.db.tenant("acme", (tx) =>
        tx.deleteFrom("releases").where("version", "=", `6.0.${round}`).execute(),
      );
      const [again] = await Promise.allSettled([
        publish("acme", image, `6.1.${round}`),
        later.collection.collectArtifacts("acme"),
      ]);
      // A release without its artifact would be one that no device can fetch.
      if (again.status === "rejected") continue;
      expect((await firmware.openArtifact("acme", hashOf(image))).sizeBytes).toBe(1_000);
    }
  });

  it("never takes the blob of an upload that ends at the same moment", async () => {
    for (let round = 0; round < 6; round += 1) {
      const image = randomBytes(1_000);
      // It lies there from before, and nobody refers to it.
      await store(image);
      const made = { sizeBytes: image.length, metadata: "", name: "", expectedSha256: null };
      const { id } = await firmware.uploads.create("acme", made, SYSTEM_ACTOR);
      const content = Readable.from([image]);
      await Promise.all([
        firmware.uploads.append("acme", id, { offset: 0, content }, SYSTEM_ACTOR),
        later.collection.collectBlobs(),
      ]);
      expect((await firmware.uploads.get("acme", id)).status).toBe("complete");
      expect(await blobs.has(hashOf(image))).toBe(true);
    }
  });

  it("never takes a blob that is being published at the same moment", async () => {
    for (let round = 0; round < 10; round += 1) {
      const image = randomBytes(1_000);
      await store(image);
      const version = `3.0.${round}`;
      const outcomes = await Promise.allSettled([
        publish("acme", image, version),
        later.collection.collectBlobs(),
      ]);
      expect(outcomes[1]?.status).toBe("fulfilled");
      const isThere = await blobs.has(hashOf(image));
      // Refused and gone, or published and there; never published and gone.
      expect(isThere, version).toBe(outcomes[0]?.status === "fulfilled");
    }
  });
});
