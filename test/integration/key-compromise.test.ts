import { createPrivateKey, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { openBlobStore } from "../../src/blobs/index.ts";
import {
  createFirmware,
  createRoot,
  createTargets,
  type Firmware,
} from "../../src/firmware/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import {
  type Assignment,
  type AssignmentMessage,
  addSignature,
  type DeviceTrust,
  type Envelope,
  metaFileOf,
  NO_VERSIONS,
  type ReleaseManifest,
  type RootMetadata,
  signDocument,
  signingKeyOf,
  type Verdict,
  verifyAssignment,
} from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { makeKey, makeManifest, YEAR_MS } from "../support/signing.ts";

/** The drills of docs/security/key-compromise.md, with the real modules and the device's verifier. */
describe("a key compromise", () => {
  const clock = new VirtualClock(Date.now());
  let test: TestDatabase;
  let directory: string;
  let firmware: Firmware;
  let count = 0;
  let tenant: string;
  let keys: {
    root: [ReturnType<typeof makeKey>, ReturnType<typeof makeKey>];
    release: ReturnType<typeof makeKey>[];
  };
  /** What a device in the field believes, since long before the theft. */
  let trust: DeviceTrust;
  let sequence: number;

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-compromise-"));
    const tenancy = createTenancy({ db: test.db, clock });
    firmware = createFirmware({
      ...{ db: test.db, clock, tenancy, blobs: openBlobStore({ directory }) },
      sealer: createSealer(Buffer.alloc(32, 7)),
      logger: createLogger({ level: "silent" }),
    });
    for (const id of ["t1", "t2", "t3", "t4"]) {
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    }
  });
  afterAll(async () => {
    await firmware?.stop();
    await test?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });
  beforeEach(async () => {
    count += 1;
    tenant = `t${count}`;
    sequence = 0;
    keys = { root: [makeKey(), makeKey()], release: [makeKey(), makeKey(), makeKey()] };
    const first = await setRoot(1, keys, keys.root);
    trust = { root: first, versions: NO_VERSIONS };
    await publish("1.0.0");
    expect(judge(await message("1.0.0"))).toMatchObject({ accepted: true });
  });

  async function rootOf(version: number, { root, release }: typeof keys) {
    return createRoot({
      ...{ tenant, version, expires: new Date(clock.now() + YEAR_MS).toISOString() },
      root: { keys: root.map(signingKeyOf), threshold: 2 },
      release: { keys: release.map(signingKeyOf), threshold: 2 },
      online: await firmware.ensureOnlineKeys(tenant),
    }).signed;
  }

  async function setRoot(
    version: number,
    next: typeof keys,
    signers: readonly ReturnType<typeof makeKey>[],
  ) {
    const envelope = signDocument(await rootOf(version, next), signers);
    return firmware.setTrustRoot(tenant, envelope, SYSTEM_ACTOR);
  }

  const releases = new Map<string, Envelope<ReleaseManifest>>();
  async function publish(version: string, signers = keys.release.slice(0, 2)) {
    const image = randomBytes(64);
    const envelope = signDocument(makeManifest(image, { tenant, version }), signers);
    const { id } = await firmware.publish(
      tenant,
      { envelope, image: Readable.from([image]) },
      SYSTEM_ACTOR,
    );
    releases.set(`${tenant}/${version}`, envelope);
    return id;
  }

  function assignmentOf(version: string): Assignment {
    sequence += 1;
    return {
      ...{ _type: "assignment", specVersion: 1, tenant, device: "d-1", updateId: `u-${sequence}` },
      ...{ sequence, action: "install", allowDowngrade: true, artifacts: [], traceparent: null },
      issuedAt: new Date(clock.now()).toISOString(),
      expires: new Date(clock.now() + YEAR_MS).toISOString(),
      release: releases.get(`${tenant}/${version}`) ?? null,
      deadlines: { offered: 1, downloading: 1, installing: 1, rebooting: 1, confirming: 1 },
    };
  }

  /** What the platform would send the device. */
  async function message(version: string): Promise<AssignmentMessage> {
    const envelope = await firmware.signAssignment(tenant, assignmentOf(version));
    return { ...envelope, metadata: await firmware.bundleFor(tenant, "hub", envelope) };
  }

  /** What the device says, and believes from then on. */
  function judge(given: AssignmentMessage): Verdict {
    const verdict = verifyAssignment(structuredClone(given), trust, {
      ...{ tenant, device: "d-1", product: "hub", hardwareRevision: "a", runningVersion: "1.0.0" },
      ...{ runningSha256: null, securityFloor: 0, lastSequence: 0, slotSizeBytes: 1e6 },
      trustedTimeMs: clock.now(),
    });
    trust = verdict.trust;
    return verdict;
  }

  it("of the online keys ends with a new root, and was never enough to run a thief's image", async () => {
    const stolen = await message("1.0.0");
    const { db } = test;
    const rows = await db.tenant(tenant, (tx) =>
      tx.selectFrom("online_keys").selectAll().execute(),
    );
    const sealer = createSealer(Buffer.alloc(32, 7));
    const key = (role: string) => {
      const row = rows.find((each) => each.role === role);
      return createPrivateKey(
        sealer.open(row!.private_key_sealed, `online-key/${tenant}/${row!.key_id}`),
      );
    };
    const forge = (release: Envelope<ReleaseManifest>, version: number): AssignmentMessage => {
      const meta = { [`hub/${release.signed.version}.json`]: metaFileOf(release, 1) };
      const { timestamp: before, snapshot: old } = stolen.metadata;
      const snapshot = signDocument({ ...old.signed, version, meta }, [key("repository")]);
      const named = { "snapshot.json": metaFileOf(snapshot, version) };
      const timestamp = signDocument({ ...before.signed, version, meta: named }, [
        key("repository"),
      ]);
      const assignment = signDocument({ ...assignmentOf("1.0.0"), release }, [key("director")]);
      return { ...assignment, metadata: { ...stolen.metadata, snapshot, timestamp } };
    };
    // The thief holds the server: whatever it signs, devices run nothing that people did not sign.
    const evil = makeManifest(Buffer.from("evil"), { tenant, version: "6.6.6" });
    const forged = signDocument(evil, [key("director"), key("repository")]);
    expect(judge(forge(forged, 1_000_000))).toMatchObject({ check: "release-signature" });
    // It can run versions up, so that devices refuse what the owners say.
    const real = releases.get(`${tenant}/1.0.0`) as Envelope<ReleaseManifest>;
    expect(judge(forge(real, 1_000_000))).toMatchObject({ accepted: true });
    expect(judge(await message("1.0.0"))).toMatchObject({ check: "metadata-version" });

    // The drill: new online keys, a root that names them, signed offline.
    await firmware.replaceOnlineKeys(tenant, SYSTEM_ACTOR);
    expect(judge(await message("1.0.0"))).toMatchObject({ check: "metadata-version" });
    await setRoot(2, keys, keys.root);
    expect(await firmware.isAssignmentCurrent(tenant, stolen)).toBe(false);
    expect(judge(await message("1.0.0"))).toMatchObject({ accepted: true });
    expect(trust.root.signed.version).toBe(2);
    // What the stolen keys sign is worth nothing from then on.
    expect(judge(forge(real, 2_000_000))).toMatchObject({ check: "metadata-signature" });
  });

  it("of one release key is no compromise: it signs nothing alone, and is replaced in peace", async () => {
    const [thief, bob, carol] = keys.release as [
      ReturnType<typeof makeKey>,
      ReturnType<typeof makeKey>,
      ReturnType<typeof makeKey>,
    ];
    await expect(publish("1.1.0", [thief])).rejects.toMatchObject({ code: "signature-invalid" });
    const dave = makeKey();
    await setRoot(2, { ...keys, release: [bob, carol, dave] }, keys.root);
    // With a second stolen key the old one would do no longer.
    await expect(publish("1.1.0", [thief, bob])).rejects.toMatchObject({
      code: "signature-invalid",
    });
    await publish("1.1.0", [bob, dave]);
    expect(judge(await message("1.1.0"))).toMatchObject({ accepted: true });
    // Releases that the old key had signed with somebody else are not believed either.
    const before = judge(await message("1.0.0"));
    expect(before).toMatchObject({ accepted: false, check: "release-signature" });
  });

  it("of a product's release keys touches no other product, and leaves the root alone", async () => {
    const product = makeKey();
    const targets = (version: number, key: ReturnType<typeof makeKey>) =>
      createTargets({
        ...{ tenant, version, expires: new Date(clock.now() + YEAR_MS).toISOString() },
        delegations: [{ name: "hub", products: ["hub"], keys: [signingKeyOf(key)], threshold: 1 }],
      }).signed;
    const set = (envelope: unknown) => firmware.setTargets(tenant, envelope, SYSTEM_ACTOR);
    await set(signDocument(targets(1, product), keys.release));
    await publish("1.2.0", [product]);
    expect(judge(await message("1.2.0"))).toMatchObject({ accepted: true });
    const next = makeKey();
    const byTheStolen = signDocument(targets(2, product), [product]);
    await expect(set(byTheStolen)).rejects.toMatchObject({ code: "signature-invalid" });
    await set(signDocument(targets(2, next), keys.release));
    await expect(publish("1.3.0", [product])).rejects.toMatchObject({ code: "signature-invalid" });
    await publish("1.3.0", [next]);
    expect(judge(await message("1.3.0"))).toMatchObject({ accepted: true });
    // The delegations of yesterday are refused, whoever shows them.
    const old = await message("1.3.0");
    old.metadata.targets = signDocument(targets(1, product), keys.release);
    expect(judge(old)).toMatchObject({ check: "release-signature" });
  });

  it("of a root key ends with the next root, which devices follow however far behind they are", async () => {
    const behind = trust;
    const [, stays] = keys.root;
    const next = { ...keys, root: [stays, makeKey()] as typeof keys.root };
    const alone = signDocument(await rootOf(2, next), [keys.root[0]]);
    await expect(firmware.setTrustRoot(tenant, alone, SYSTEM_ACTOR)).rejects.toMatchObject({
      code: "signature-invalid",
    });
    const both: Envelope<RootMetadata> = addSignature(
      signDocument(await rootOf(2, next), keys.root),
      next.root[1],
    );
    await firmware.setTrustRoot(tenant, both, SYSTEM_ACTOR);
    for (const version of [3, 4, 5]) await setRoot(version, next, next.root);
    trust = behind;
    expect(judge(await message("1.0.0"))).toMatchObject({ accepted: true });
    expect(trust.root.signed.version).toBe(5);
    expect((await firmware.newestTrustRoots(tenant)).map(({ signed }) => signed.version)).toEqual([
      1, 2, 3, 4, 5,
    ]);
    // A device that was off for a day takes no timestamp of before.
    const frozen = await message("1.0.0");
    await clock.advance(25 * 3_600_000);
    expect(judge(frozen)).toMatchObject({ check: "expiry" });
    expect(judge(await message("1.0.0"))).toMatchObject({ accepted: true });
  });
});
