import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { buffer } from "node:stream/consumers";
import { sql } from "kysely";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BlobStore, openBlobStore } from "../../src/blobs/index.ts";
import { createFirmware, type Firmware } from "../../src/firmware/index.ts";
import { bringUploads } from "../../src/firmware/upload-moves.ts";
import { moveJob } from "../../src/jobs/retention-jobs.ts";
import { type Clock, systemClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { signDocument } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { ownerRows } from "../support/owner-rows.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";
import { silentLogger } from "../support/timeseries.ts";

const LATER_MS = 120_000;
const hashOf = (content: Buffer) => createHash("sha256").update(content).digest("hex");

describe("where the blobs of a tenant lie", () => {
  let test: TestDatabase;
  let directory: string;
  let blobs: BlobStore;
  let tenancy: Tenancy;
  let firmware: Firmware;
  const keys = { root: makeKey(), release: [makeKey()] };
  const common = randomBytes(2_000);
  const secret = randomBytes(3_000);

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-places-"));
    blobs = openBlobStore({ directory });
    tenancy = createTenancy({ db: test.db, clock: systemClock });
    firmware = firmwareAt(0);
    await found("acme", "shared");
    await found("vault", "separate");
  });
  afterAll(async () => {
    await firmware?.stop();
    await test?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  function firmwareAt(aheadMs: number): Firmware {
    const clock: Clock = { ...systemClock, now: () => Date.now() + aheadMs };
    const sealer = createSealer(Buffer.alloc(32, 1));
    return createFirmware({ db: test.db, clock, blobs, sealer, tenancy, logger: silentLogger });
  }

  async function found(id: string, storageClass: "shared" | "separate") {
    await tenancy.tenants.create({ id, name: id, storageClass }, SYSTEM_ACTOR);
    const online = await firmware.ensureOnlineKeys(id);
    await firmware.setTrustRoot(id, makeRoot(id, keys, online), SYSTEM_ACTOR);
  }

  function publish(tenant: string, image: Buffer, version: string) {
    const envelope = signDocument(makeManifest(image, { tenant, version }), keys.release);
    return firmware.publish(tenant, { envelope, image: Readable.from([image]) }, SYSTEM_ACTOR);
  }

  /** By `find`, as whoever copies or destroys files does. */
  function filesOf(folder: string): string[] {
    const all = fs.existsSync(folder) ? fs.readdirSync(folder, { recursive: true }) : [];
    return all.map((name) => path.basename(String(name))).filter((name) => name.length === 64);
  }
  const sharedFiles = () =>
    fs
      .readdirSync(directory)
      .filter((name) => name.length === 2)
      .flatMap((name) => filesOf(path.join(directory, name)))
      .sort();
  const ownFiles = (tenant: string) => filesOf(path.join(directory, "tenants", tenant)).sort();
  const read = async (tenant: string, content: Buffer) =>
    buffer(await (await firmware.openArtifact(tenant, hashOf(content))).read());

  /** What the jobs do for `vautn tenant storage`, after its time has passed. */
  function move(
    tenant: { firmware?: Firmware; at?: number } = {},
    leave = async () => {},
  ): Promise<void> {
    const clock = { ...systemClock, now: () => Date.now() + (tenant.at ?? LATER_MS) };
    const timeseries = {
      forget: async () => [],
      copyTenant: async () => true,
      leaveOldPlace: leave,
    };
    const of = tenant.firmware ?? firmware;
    return moveJob({ clock, logger: silentLogger, tenancy, timeseries, firmware: of }).run();
  }

  it("is a folder of its own for a tenant that is kept apart, even of what others have too", async () => {
    await publish("acme", common, "1.0.0");
    await publish("vault", common, "1.0.0");
    await publish("vault", secret, "2.0.0");
    expect(sharedFiles()).not.toContain(hashOf(secret));
    expect(ownFiles("vault")).toEqual([hashOf(common), hashOf(secret)].sort());
    expect(await blobs.has(hashOf(common))).toBe(true);
    expect((await read("vault", secret)).equals(secret)).toBe(true);
    expect((await read("acme", common)).equals(common)).toBe(true);
    await expect(firmware.openArtifact("acme", hashOf(secret))).rejects.toThrow("no such artifact");
  });

  it("holds what was uploaded in pieces, from another disk too", async () => {
    const other = fs.mkdtempSync("/dev/shm/vautn-places-");
    try {
      await found("disk", "separate");
      fs.mkdirSync(path.join(directory, "tenants"), { recursive: true });
      fs.symlinkSync(other, path.join(directory, "tenants", "disk"));
      const image = randomBytes(5_000);
      const upload = await firmware.uploads.create(
        "disk",
        { sizeBytes: image.length, metadata: "", name: "i", expectedSha256: null },
        SYSTEM_ACTOR,
      );
      const piece = { offset: 0, content: Readable.from([image]) };
      await firmware.uploads.append("disk", upload.id, piece, SYSTEM_ACTOR);
      expect(filesOf(other)).toEqual([hashOf(image)]);
      expect(fs.readdirSync(path.join(directory, "uploads"))).toEqual([]);
      expect(fs.readdirSync(path.join(other, "incoming"))).toEqual([]);
    } finally {
      fs.rmSync(other, { recursive: true });
      fs.unlinkSync(path.join(directory, "tenants", "disk"));
    }
  });

  it("holds uploads that are not complete as well, takes them along in a move, and ends with them", async () => {
    await found("parts", "separate");
    const image = randomBytes(600_000);
    const uploads = (folder: string) => {
      const place = path.join(directory, folder, "uploads");
      return fs.existsSync(place) ? fs.readdirSync(place) : [];
    };
    const [own, common] = ["tenants/parts", ""];
    const create = () =>
      firmware.uploads.create(
        "parts",
        { sizeBytes: image.length, metadata: "", name: "image", expectedSha256: null },
        SYSTEM_ACTOR,
      );
    const { id } = await create();
    const append = (from: number, to: number, pieces = [image.subarray(from, to)]) =>
      firmware.uploads.append(
        "parts",
        id,
        { offset: from, content: Readable.from(pieces) },
        SYSTEM_ACTOR,
      );
    await append(0, 200_000);
    expect([uploads(own), uploads(common)]).toEqual([[id], []]);
    await tenancy.tenants.beginMove("parts", "shared", SYSTEM_ACTOR);
    // Somebody who is writing is waited for; the place is not taken away under the bytes.
    let release = () => {};
    const written = new Promise<void>((resolve) => {
      release = resolve;
    });
    const slowly = async function* () {
      yield image.subarray(200_000, 300_000);
      await written;
      yield image.subarray(300_000, 400_000);
    };
    const appending = firmware.uploads.append(
      "parts",
      id,
      { offset: 200_000, content: slowly() },
      SYSTEM_ACTOR,
    );
    await expect
      .poll(async () => {
        const { rows } = await test.db.tenant("parts", (tx) =>
          sql`select 1 from uploads where locked_until is not null`.execute(tx),
        );
        return rows.length;
      })
      .toBe(1);
    await move();
    await expect(move({ at: 2 * LATER_MS })).rejects.toThrow();
    expect(uploads(own)).toEqual([id]);
    release();
    await appending;
    await move({ at: 3 * LATER_MS });
    expect([uploads(own), uploads(common)]).toEqual([[], [id]]);
    await tenancy.tenants.beginMove("parts", "separate", SYSTEM_ACTOR);
    await move({ at: 4 * LATER_MS });
    await move({ at: 5 * LATER_MS });
    expect([uploads(own), uploads(common)]).toEqual([[id], []]);
    await append(400_000, 600_000);
    const whole = await firmware.uploads.get("parts", id);
    expect(whole).toMatchObject({ status: "complete", sha256: hashOf(image) });
    expect(ownFiles("parts")).toEqual([hashOf(image)]);
    const { id: left } = await create();
    expect(uploads(own)).toEqual([left]);
    await blobs.own("parts").drop();
    expect(fs.existsSync(path.join(directory, own))).toBe(false);
    await firmware.uploads.terminate("parts", left, SYSTEM_ACTOR);
    await firmware.uploads.terminate("parts", id, SYSTEM_ACTOR);
  });

  it("keeps what a second mover has brought of an upload, whatever the first does that came too late", async () => {
    await found("late", "shared");
    const image = randomBytes(100_000);
    const { id } = await firmware.uploads.create(
      "late",
      { sizeBytes: image.length, metadata: "", name: "image", expectedSha256: null },
      SYSTEM_ACTOR,
    );
    const append = (from: number, to: number) => {
      const content = Readable.from([image.subarray(from, to)]);
      return firmware.uploads.append("late", id, { offset: from, content }, SYSTEM_ACTOR);
    };
    await append(0, 60_000);
    const deps = { db: test.db, clock: systemClock, blobs };
    const later: Clock = { ...systemClock, now: () => Date.now() + 10_000 };
    // The first has the upload, and stands still until its lease is over and the second is done.
    const slow: BlobStore = Object.create(blobs, {
      staging: {
        value: Object.create(blobs.staging, {
          read: {
            async *value(...what: Parameters<typeof blobs.staging.read>) {
              expect(await bringUploads({ ...deps, clock: later }, "late", "separate")).toBe(0);
              yield* blobs.staging.read(...what);
            },
          },
        }),
      },
    });
    Object.assign(slow, { own: (tenantId: string) => blobs.own(tenantId) });
    expect(await bringUploads({ ...deps, blobs: slow }, "late", "separate")).toBe(1);
    await append(60_000, 100_000);
    const sha256 = hashOf(image);
    expect(await firmware.uploads.get("late", id)).toMatchObject({ status: "complete", sha256 });
    await firmware.uploads.terminate("late", id, SYSTEM_ACTOR);
  });

  it("ends with the bytes of an upload that whoever was killed had brought elsewhere", async () => {
    await found("killed", "shared");
    const { id } = await firmware.uploads.create(
      "killed",
      { sizeBytes: 10, metadata: "", name: "image", expectedSha256: null },
      SYSTEM_ACTOR,
    );
    const left = path.join(directory, "uploads", id);
    await tenancy.tenants.beginMove("killed", "separate", SYSTEM_ACTOR);
    await move();
    expect(fs.existsSync(left)).toBe(false);
    // As if it had been killed before it removed them.
    fs.writeFileSync(left, "1234");
    await move({ at: 2 * LATER_MS });
    expect(fs.existsSync(left)).toBe(false);
    await firmware.uploads.terminate("killed", id, SYSTEM_ACTOR);
  });

  it("does not tell who else has an image: an upload is compared before anything is read", async () => {
    const sizeBytes = 100;
    const upload = await firmware.uploads.create(
      "acme",
      { sizeBytes, metadata: "", name: "i", expectedSha256: null },
      SYSTEM_ACTOR,
    );
    const piece = { offset: 0, content: Readable.from([randomBytes(sizeBytes)]) };
    await firmware.uploads.append("acme", upload.id, piece, SYSTEM_ACTOR);
    const envelope = signDocument(
      makeManifest(secret, { tenant: "acme", version: "9.0.0" }),
      keys.release,
    );
    const stolen = firmware.publish(
      "acme",
      { envelope, image: { uploadId: upload.id } },
      SYSTEM_ACTOR,
    );
    await expect(stolen).rejects.toMatchObject({ code: "image-mismatch" });
    await firmware.uploads.terminate("acme", upload.id, SYSTEM_ACTOR);
  });

  it("changes with the class: copied, compared, and gone from where it was, whoever dies between", async () => {
    const before = sharedFiles();
    await tenancy.tenants.beginMove("vault", "shared", SYSTEM_ACTOR);
    // Published before the change and finished after it: it is found, and goes where it belongs.
    const late = randomBytes(1_000);
    await blobs.own("vault").put(Readable.from([late]), { maxBytes: 1_000 });
    await publish("vault", late, "3.0.0");
    expect(await blobs.has(hashOf(late))).toBe(true);
    await move({ at: 0 });
    expect(ownFiles("vault")).toContain(hashOf(secret));
    // Killed in the middle of copying: a file that is not whole has no name.
    let steps = 0;
    const dying = {
      ...firmware,
      collection: {
        ...firmware.collection,
        copyBlobs: (id: string, to: "shared" | "separate") =>
          firmware.collection.copyBlobs(id, to, async () => {
            steps += 1;
            if (steps > 1) throw new Error("killed");
          }),
      },
    };
    await expect(move({ firmware: dying })).rejects.toThrow("1 tenants");
    expect((await read("vault", secret)).equals(secret)).toBe(true);
    expect((await tenancy.tenants.get("vault")).storageMove?.copiedAt).toBeNull();
    await move();
    // All of it is in both places; it goes from the old one a while later.
    expect(await blobs.has(hashOf(secret))).toBe(true);
    expect(ownFiles("vault")).toContain(hashOf(secret));
    await expect(
      move({}, async () => {
        throw new Error("killed");
      }),
    ).rejects.toThrow("1 tenants");
    await move();
    await move();
    expect(fs.existsSync(path.join(directory, "tenants", "vault"))).toBe(false);
    expect(sharedFiles()).toEqual([...before, hashOf(secret), hashOf(late)].sort());
    expect((await tenancy.tenants.get("vault")).status).toBe("active");
    for (const content of [common, secret, late]) {
      expect((await read("vault", content)).equals(content)).toBe(true);
    }
    // And back: what others have stays with them.
    await tenancy.tenants.beginMove("vault", "separate", SYSTEM_ACTOR);
    await move();
    await move();
    expect(ownFiles("vault")).toEqual([common, secret, late].map(hashOf).sort());
    expect(await blobs.has(hashOf(common))).toBe(true);
    expect(await blobs.has(hashOf(secret))).toBe(false);
    await move();
    expect((await tenancy.tenants.get("vault")).storageMove).toBeNull();
  });

  it("is emptied of what nothing refers to, and only of that", async () => {
    const loose = randomBytes(700);
    await blobs.own("vault").put(Readable.from([loose]), { maxBytes: 700 });
    // A copy that a move left with the others is nobody's there.
    await blobs.put(Readable.from([secret]), { maxBytes: 3_000 });
    // From before tenants had places, or by a process that did not know of it: brought there first.
    const early = randomBytes(800);
    await publish("vault", early, "4.0.0");
    await blobs.put(Readable.from([early]), { maxBytes: 800 });
    await blobs.own("vault").delete(hashOf(early));
    expect((await read("vault", early)).equals(early)).toBe(true);
    const later = firmwareAt(2 * 86_400_000);
    await later.collection.collectBlobs();
    await later.stop();
    expect(ownFiles("vault")).not.toContain(hashOf(loose));
    expect(ownFiles("vault")).toContain(hashOf(early));
    expect(await blobs.has(hashOf(early))).toBe(false);
    expect(ownFiles("vault")).toContain(hashOf(secret));
    expect(await blobs.has(hashOf(secret))).toBe(false);
    expect(await blobs.has(hashOf(common))).toBe(true);
  });

  it("keeps nothing apart that came there late, once the tenant shares its place and has it there", async () => {
    const [late, only] = [randomBytes(700), randomBytes(701)];
    await found("moved", "separate");
    for (const [version, image] of [late, only].entries()) {
      await publish("moved", image, `${version + 1}.0.0`);
    }
    await tenancy.tenants.beginMove("moved", "shared", SYSTEM_ACTOR);
    await move();
    await move({ at: 2 * LATER_MS });
    expect((await tenancy.tenants.get("moved")).storageMove).toBeNull();
    expect(ownFiles("moved")).toEqual([]);
    // By a process that began to write before the class changed, and ended long after it.
    for (const image of [late, only]) {
      await blobs.own("moved").put(Readable.from([image]), { maxBytes: 1_000 });
    }
    await blobs.delete(hashOf(only));
    const later = firmwareAt(2 * 86_400_000);
    await later.collection.collectBlobs();
    await later.stop();
    expect(ownFiles("moved")).toEqual([hashOf(only)]);
    expect((await read("moved", late)).equals(late)).toBe(true);
    expect((await read("moved", only)).equals(only)).toBe(true);
  });

  it("is not moved once the tenant's end is near, and nothing ends while it is moved", async () => {
    await tenancy.tenants.beginMove("vault", "shared", SYSTEM_ACTOR);
    expect(await tenancy.tenants.progressMove("vault", { done: 1, of: 2 })).toBe(true);
    const [row] = await ownerRows<{ busy: string }>(
      test.superuserUrl,
      "select storage_move ->> 'busyUntil' as busy from tenants where id = 'vault'",
    );
    expect(Date.parse(row?.busy ?? "")).toBeGreaterThan(Date.now() + 60_000);
    const endsIn = (span: string) =>
      `update tenants set deletes_at = now() + interval '${span}' where id = 'vault'`;
    await ownerRows(test.superuserUrl, endsIn("10 minutes"));
    expect(await tenancy.tenants.progressMove("vault")).toBe(false);
    await move();
    expect(ownFiles("vault")).toContain(hashOf(secret));
    await firmware.collection.dropOwn("vault");
    await firmware.collection.dropOwn("vault");
    expect(await firmware.collection.ownOf("vault")).toEqual({ count: 0, sizeBytes: 0 });
    expect(fs.existsSync(path.join(directory, "tenants", "vault"))).toBe(false);
    expect((await read("acme", common)).equals(common)).toBe(true);
  });
});
