import { createHash, randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { gzipSync, zstdCompressSync } from "node:zlib";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type BlobStore, openBlobStore } from "../../src/blobs/index.ts";
import { applyPatch } from "../../src/delta/index.ts";
import { createFirmware, type Firmware } from "../../src/firmware/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import {
  ARTIFACT_FORMATS,
  type Assignment,
  addSignature,
  meetsThreshold,
  type ReleaseManifest,
  signDocument,
  signingKeyId,
} from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR, type Tenancy } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { firmwarePairs } from "../support/firmware-pairs.ts";
import { makeKey, makeManifest, makeRoot, type TrustKeys, YEAR_MS } from "../support/signing.ts";

const [pair] = firmwarePairs();
const keys: TrustKeys = { root: makeKey(), release: [makeKey(), makeKey()] };

describe("firmware", () => {
  let test: TestDatabase;
  let directory: string;
  let blobs: BlobStore;
  let tenancy: Tenancy;
  let firmware: Firmware;
  const clock = new VirtualClock(Date.now());

  const make = () =>
    createFirmware({
      db: test.db,
      clock,
      blobs,
      sealer: createSealer(Buffer.alloc(32, 1)),
      tenancy,
      logger: createLogger({ level: "silent" }),
    });

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-firmware-"));
    blobs = openBlobStore({ directory });
    tenancy = createTenancy({ db: test.db, clock });
    firmware = make();
    for (const id of ["acme", "globex", "initech", "hooli"]) {
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
    }
    for (const id of ["acme", "globex"]) {
      const online = await firmware.ensureOnlineKeys(id);
      await firmware.setTrustRoot(id, makeRoot(id, keys, online), SYSTEM_ACTOR);
    }
  });
  afterAll(async () => {
    await firmware?.stop();
    await test?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const publish = (image: Buffer, manifest: ReleaseManifest, signers = keys.release) =>
    firmware.publish(
      manifest.tenant,
      { envelope: signDocument(manifest, signers), image: Readable.from([image]) },
      SYSTEM_ACTOR,
    );
  const release = (image: Buffer, version: string, tenant = "acme") =>
    publish(image, makeManifest(image, { tenant, version }));
  const buildAll = async (tenant: string) => {
    while (await firmware.buildNextDelta(tenant));
  };

  describe("trust roots", () => {
    it("takes the first root, then only the next version, signed by both", async () => {
      const online = await firmware.ensureOnlineKeys("initech");
      expect(await firmware.ensureOnlineKeys("initech")).toEqual(online);
      await expect(firmware.trustRoot("initech")).rejects.toMatchObject({ code: "not-found" });
      const set = (root: unknown) => firmware.setTrustRoot("initech", root, SYSTEM_ACTOR);

      const second = makeRoot("initech", keys, online, { version: 2 });
      await expect(set(second)).rejects.toMatchObject({ code: "conflict" });
      const first = makeRoot("initech", keys, online);
      await set(first);
      expect(await firmware.trustRoot("initech")).toEqual(first);
      await expect(set(first)).rejects.toMatchObject({ code: "conflict" });

      const rotated = { root: makeKey(), release: keys.release };
      const byItself = makeRoot("initech", rotated, online, { version: 2 });
      await expect(set(byItself)).rejects.toMatchObject({ code: "signature-invalid" });
      const byTheOld = makeRoot("initech", rotated, online, { version: 2, signers: [keys.root] });
      await expect(set(byTheOld)).rejects.toMatchObject({ code: "signature-invalid" });
      const byBoth = addSignature(byItself, keys.root);
      await set(byBoth);
      expect(await firmware.trustRootsAfter("initech", 0)).toEqual([first, byBoth]);
      expect(await firmware.trustRootsAfter("initech", 1)).toEqual([byBoth]);
    });

    it("refuses roots that are foreign, expired, malformed, or let the server sign firmware", async () => {
      const online = await firmware.ensureOnlineKeys("hooli");
      const good = makeRoot("hooli", keys, online).signed;
      const signed = (change: object) => signDocument({ ...good, ...change }, [keys.root]);
      const roles = (change: object) => signed({ roles: { ...good.roles, ...change } });
      const release = (change: object) => roles({ targets: { ...good.roles.targets, ...change } });
      const directorId = signingKeyId(online.director);
      const releaseIds = good.roles.targets.keyids;
      const cases: [string, unknown][] = [
        ["foreign", signed({ tenant: "globex" })],
        ["expired", signed({ expires: "2020-01-01T00:00:00Z" })],
        ["threshold 0", release({ threshold: 0 })],
        ["threshold 3 of 2", release({ threshold: 3 })],
        ["one key twice", release({ keyids: [releaseIds[0], releaseIds[0]] })],
        ["online release key", release({ keyids: [...releaseIds, directorId] })],
        ["unknown key", roles({ root: { keyids: ["0".repeat(64)], threshold: 1 } })],
        ["another director", signed({ director: { keyids: [releaseIds[0]], threshold: 1 } })],
        ["another timestamp key", roles({ timestamp: { keyids: [releaseIds[0]], threshold: 1 } })],
        [
          "a key by another id",
          signed({ keys: { ...good.keys, ["0".repeat(64)]: online.director } }),
        ],
        ["NUL", signed({ note: "a\0b" })],
        ["a fraction", { signed: { ...good, note: 1.5 }, signatures: [] }],
        ["no envelope", good],
        ["null", null],
      ];
      for (const [name, root] of cases) {
        await expect(
          firmware.setTrustRoot("hooli", root, SYSTEM_ACTOR),
          name,
        ).rejects.toMatchObject({ code: "trust-root-invalid" });
      }
      const unsigned = { signed: good, signatures: [] };
      await expect(firmware.setTrustRoot("hooli", unsigned, SYSTEM_ACTOR)).rejects.toMatchObject({
        code: "signature-invalid",
      });
    });

    it("gives one director key to all who ask at once, and never stores it in the clear", async () => {
      const asked = await Promise.all([1, 2, 3, 4].map(() => make().ensureOnlineKeys("globex")));
      expect(new Set(asked.map((key) => key.director.keyval.public)).size).toBe(1);
      const [row] = await test.db.tenant("globex", (tx) =>
        tx.selectFrom("online_keys").selectAll().execute(),
      );
      expect(row?.private_key_sealed.toString("latin1")).not.toContain("PRIVATE KEY");
    });

    it("signs assignments that the tenant's root delegates", async () => {
      const assignment = {
        _type: "assignment",
        specVersion: 1,
        tenant: "acme",
        device: "d-1",
        sequence: 1,
      } as Assignment;
      const { signed: root } = await firmware.trustRoot("acme");
      const envelope = await firmware.signAssignment("acme", assignment);
      expect(meetsThreshold(envelope, root.director, root.keys)).toBe(true);
      expect(meetsThreshold(envelope, root.roles.targets, root.keys)).toBe(false);
    });
  });

  describe("channels", () => {
    it("take a release upwards and never back, and are listed each by itself", async () => {
      const { id } = await release(randomBytes(500), "0.5.0");
      const promote = (channel: "dev" | "beta" | "stable") =>
        firmware.releases.promote("acme", id, channel, SYSTEM_ACTOR);
      expect(await promote("beta")).toMatchObject({ channel: "beta" });
      expect(await promote("beta")).toMatchObject({ channel: "beta" });
      await expect(promote("dev")).rejects.toMatchObject({ code: "conflict" });
      const listed = await firmware.releases.list("acme", { channel: "beta", status: "published" });
      expect(listed.items.map((item) => item.id)).toEqual([id]);
      const foreign = firmware.releases.promote("globex", id, "stable", SYSTEM_ACTOR);
      await expect(foreign).rejects.toMatchObject({ code: "not-found" });
      await firmware.releases.yank("acme", id, "no", SYSTEM_ACTOR);
      await expect(promote("stable")).rejects.toMatchObject({ code: "conflict" });
    });

    it("name a release to devices until it is yanked", async () => {
      const { id } = await release(randomBytes(500), "0.6.0");
      const names = async () =>
        Object.keys((await firmware.metadata("acme", "hub")).snapshot.signed.meta);
      expect(await names()).toContain("hub/0.6.0.json");
      const before = (await firmware.metadata("acme", "hub")).timestamp.signed.version;
      await firmware.releases.yank("acme", id, "no", SYSTEM_ACTOR);
      expect(await names()).not.toContain("hub/0.6.0.json");
      expect((await firmware.metadata("acme", "hub")).timestamp.signed.version).toBeGreaterThan(
        before,
      );
    });
  });

  describe("files beside the image", () => {
    const sbom = Buffer.from('{"bomFormat":"CycloneDX","specVersion":"1.6","components":[]}');
    const upload = async (content: Buffer, tenant = "acme") => {
      const { id } = await firmware.uploads.create(
        tenant,
        { sizeBytes: content.length, metadata: "", name: "f", expectedSha256: null },
        SYSTEM_ACTOR,
      );
      const piece = { offset: 0, content: Readable.from([content]) };
      await firmware.uploads.append(tenant, id, piece, SYSTEM_ACTOR);
      return id;
    };
    const named = (name: string, content: Buffer) => ({
      name,
      sha256: createHash("sha256").update(content).digest("hex"),
      sizeBytes: content.length,
    });
    const offer = async (version: string, files: string[], document = sbom) => {
      const image = randomBytes(400);
      const boot = Buffer.from("bootloader");
      const manifest = makeManifest(image, {
        ...{ tenant: "acme", version },
        components: [{ component: "boot", ...named("boot.bin", boot) }],
        sbom: { ...named("hub.cdx.json", document), format: "cyclonedx" },
      });
      const envelope = signDocument(manifest, keys.release);
      const given = { envelope, image: Readable.from([image]), files };
      return firmware.publish("acme", given, SYSTEM_ACTOR);
    };

    it("are taken from uploads, read, and shown; a release without them is none", async () => {
      await expect(offer("0.7.0", [])).rejects.toMatchObject({
        code: "conflict",
        details: { missing: ["boot.bin", "hub.cdx.json"] },
      });
      const foreign = [await upload(Buffer.from("bootloader"), "globex"), await upload(sbom)];
      await expect(offer("0.7.0", foreign)).rejects.toMatchObject({ code: "conflict" });
      const { id } = await offer("0.7.0", [
        await upload(Buffer.from("bootloader")),
        await upload(sbom),
      ]);
      const { files } = await firmware.releases.get("acme", id);
      expect(files).toMatchObject([
        { role: "component", component: "boot", summary: null },
        { role: "sbom", summary: { format: "cyclonedx", componentCount: 0 } },
      ]);
      await firmware.openArtifact("acme", files[0]!.sha256);
      const forDevices = firmware.openArtifact("acme", files[1]!.sha256);
      await expect(forDevices).rejects.toMatchObject({ code: "not-found" });
    });

    it("are found by what is inside them, in whatever version, by the tenant alone", async () => {
      const listing = (version: string) => {
        const purl = `pkg:deb/openssl@${version}`;
        const openssl = { type: "library", name: "OpenSSL", version, purl };
        const components = [openssl, { type: "library", name: "libfoo_x" }];
        const document = { bomFormat: "CycloneDX", specVersion: "1.6", components };
        return Buffer.from(JSON.stringify(document));
      };
      const published = async (version: string, openssl: string) => {
        const document = listing(openssl);
        const files = [await upload(Buffer.from("bootloader")), await upload(document)];
        return (await offer(version, files, document)).id;
      };
      const old = await published("0.7.1", "3.0.9-1~deb12u1");
      clock.advance(5);
      const mended = await published("0.7.2", "3.0.15-1~deb12u1");
      const find = async (q: string, more = {}, tenant = "acme") => {
        const { items } = await firmware.components.find(tenant, { q, ...more });
        return items.map(({ name, release }) => [name, release.version]);
      };
      expect(await find("openssl < 3.0.15")).toEqual([["OpenSSL", "0.7.1"]]);
      expect(await find("openssl >= 3.0.15")).toEqual([["OpenSSL", "0.7.2"]]);
      expect(await find("pkg:deb/openssl")).toHaveLength(2);
      expect(await find("open*", { releaseId: mended })).toEqual([["OpenSSL", "0.7.2"]]);
      // What says no version cannot be ruled out.
      expect(await find("libfoo_x < 1.0")).toHaveLength(2);
      expect(await find("libfoo_x = 1.0")).toEqual([]);
      expect(await find("libfoo%x")).toEqual([]);
      expect(await find("openssl", {}, "globex")).toEqual([]);
      const foreign = find("", { releaseId: old }, "globex");
      await expect(foreign).rejects.toMatchObject({ code: "not-found" });
      await firmware.releases.yank("acme", old, "old openssl", SYSTEM_ACTOR);
      expect(await find("openssl < 3.0.15", { status: "published" })).toEqual([]);

      const pages: string[] = [];
      let cursor: string | undefined;
      do {
        const page = await firmware.components.find("acme", { cursor, limit: 3 });
        pages.push(...page.items.map(({ name, release }) => `${release.version} ${name}`));
        cursor = page.nextCursor ?? undefined;
      } while (cursor);
      const all = ["0.7.2 OpenSSL", "0.7.2 libfoo_x", "0.7.1 OpenSSL", "0.7.1 libfoo_x"];
      expect(pages).toEqual(all);
      const forged = firmware.components.find("acme", { cursor: "1;2" });
      await expect(forged).rejects.toMatchObject({ code: "invalid-cursor" });

      // As if they had been published before there was such a list.
      await test.db.tenant("acme", async (tx) => {
        await tx.deleteFrom("release_components").execute();
        await tx.updateTable("release_files").set({ components_listed: false }).execute();
      });
      expect(await find("openssl < 3.0.15")).toEqual([["OpenSSL", "0.7.1"]]);

      // Documents that were taken by laxer rules, or whose content is gone, hide no others.
      const lax = Buffer.from('{"bomFormat":"CycloneDX","specVersion":"9"}');
      await blobs.put(Readable.from([lax]), { maxBytes: 1_000 });
      for (const sha of [sha256(lax), "0".repeat(64)]) {
        await test.db.tenant("acme", async (tx) => {
          await tx.deleteFrom("release_components").execute();
          const listed = { components_listed: false };
          await tx.updateTable("release_files").set(listed).execute();
          const document = tx.updateTable("release_files").where("role", "=", "sbom");
          await document.set({ sha256: sha }).where("release_id", "=", old).execute();
        });
        expect(await find("openssl")).toEqual([["OpenSSL", "0.7.2"]]);
      }

      const document = await firmware.components.document("acme", mended, "sbom");
      const content = Buffer.concat(await (await document.read()).toArray());
      expect(content.equals(listing("3.0.15-1~deb12u1"))).toBe(true);
      const none = firmware.components.document("acme", mended, "provenance");
      await expect(none).rejects.toMatchObject({ code: "not-found" });
      const stranger = firmware.components.document("globex", mended, "sbom");
      await expect(stranger).rejects.toMatchObject({ code: "not-found" });
    });

    it("have to be what the manifest calls them", async () => {
      const bad = Buffer.from('{"bomFormat":"CycloneDX","specVersion":"9"}');
      const uploads = [await upload(Buffer.from("bootloader")), await upload(bad)];
      await expect(offer("0.8.0", uploads, bad)).rejects.toMatchObject({
        code: "manifest-invalid",
        details: { check: "sbom" },
      });
    });
  });

  describe("publishing", () => {
    it("takes a release whose image and signatures are right, and lists it", async () => {
      const image = randomBytes(50_000);
      const view = await release(image, "1.0.0");
      expect(view).toMatchObject({ version: "1.0.0", status: "published", imageSizeBytes: 50_000 });
      expect(view.signers).toHaveLength(2);
      const { envelope, files, ...rest } = await firmware.releases.get("acme", view.id);
      expect(files).toEqual([]);
      expect(rest).toEqual(view);
      const { signed: root } = await firmware.trustRoot("acme");
      expect(meetsThreshold(envelope, root.roles.targets, root.keys)).toBe(true);
      const entries = await tenancy.audit.list("acme");
      expect(entries.items.map((entry) => entry.action)).toContain("release.publish");
    });

    it("refuses one signature where two are needed, a repeated one, and strangers'", async () => {
      const image = randomBytes(1_000);
      const manifest = makeManifest(image, { tenant: "acme", version: "9.0.0" });
      const [first] = keys.release;
      const once = signDocument(manifest, [first!]);
      const refused = async (envelope: unknown, code = "signature-invalid") => {
        const attempt = firmware.publish(
          "acme",
          { envelope, image: Readable.from([image]) },
          SYSTEM_ACTOR,
        );
        await expect(attempt).rejects.toMatchObject({ code });
      };
      await refused(once);
      const repeated = { ...once, signatures: [...once.signatures, ...once.signatures] };
      await refused(repeated, "manifest-invalid");
      await refused(signDocument(manifest, [first!, makeKey()]));
      await refused(signDocument(manifest, [first!, keys.root]));
      await refused({ signed: manifest, signatures: [] });
      const altered = signDocument(manifest, keys.release);
      await refused({ ...altered, signed: { ...manifest, securityCounter: 0 } });
    });

    it("refuses a manifest that is not for here or cannot be right, and says which check", async () => {
      const image = randomBytes(1_000);
      const base = { tenant: "acme", version: "9.1.0" };
      const past = new Date(clock.now() - 1_000).toISOString();
      const good = makeManifest(image, base);
      const cases: [string, Partial<ReleaseManifest>][] = [
        ["tenant", { tenant: "globex" }],
        ["expiry", { expires: past }],
        ["expiry", { expires: "soon" }],
        ["format", { version: "nine" }],
        ["format", { version: "v9.1.0" }],
        ["hardware", { hardwareRevisions: [] }],
        ["product", { product: "../hub" }],
        ["security-counter", { securityCounter: -1 }],
        ["minimum-version", { minimumSourceVersion: "10.0.0" }],
        ["size", { image: { ...good.image, sizeBytes: 3 * 1024 ** 3 } }],
        ["image-name", { image: { ...good.image, name: "../../x" } }],
        ["format", { image: { ...good.image, sha256: "abc" } }],
        ["format", { notes: "a\0b" }],
      ];
      for (const [check, change] of cases) {
        const envelope = signDocument({ ...good, ...change }, keys.release);
        const attempt = firmware.publish(
          "acme",
          { envelope, image: Readable.from([image]) },
          SYSTEM_ACTOR,
        );
        await expect(attempt, JSON.stringify(change)).rejects.toMatchObject({
          code: "manifest-invalid",
          details: { check },
        });
      }
      for (const envelope of [null, 7, {}, { signed: {}, signatures: [] }]) {
        const attempt = firmware.publish(
          "acme",
          { envelope, image: Readable.from([]) },
          SYSTEM_ACTOR,
        );
        await expect(attempt).rejects.toMatchObject({ code: "manifest-invalid" });
      }
    });

    it("refuses an image that is altered, cut or longer, and keeps nothing of it", async () => {
      const image = randomBytes(10_000);
      const manifest = makeManifest(image, { tenant: "acme", version: "9.2.0" });
      const altered = Buffer.from(image);
      altered[5_000] = altered[5_000]! ^ 1;
      const longer = Buffer.concat([image, Buffer.from([0])]);
      for (const wrong of [altered, image.subarray(1), longer, Buffer.alloc(0)]) {
        await expect(publish(wrong, manifest)).rejects.toMatchObject({ code: "image-mismatch" });
        expect(await blobs.has(sha256(wrong))).toBe(false);
      }
      const wrongSize = { ...manifest, image: { ...manifest.image, sizeBytes: 10_001 } };
      await expect(publish(image, wrongSize)).rejects.toMatchObject({ code: "image-mismatch" });
      await publish(image, manifest);
    });

    it("refuses a version twice, also when two come at once, and before there is a root", async () => {
      const image = randomBytes(1_000);
      const both = await Promise.allSettled([release(image, "2.0.0"), release(image, "2.0.0")]);
      expect(both.map((result) => result.status).sort()).toEqual(["fulfilled", "rejected"]);
      await expect(release(image, "2.0.0")).rejects.toMatchObject({ code: "already-exists" });
      const rootless = release(image, "1.0.0", "hooli");
      await expect(rootless).rejects.toMatchObject({ code: "conflict" });
    });

    it("refuses more releases than the tenant may have", async () => {
      await tenancy.tenants.updateSettings("globex", { maxReleases: 1 }, SYSTEM_ACTOR);
      await release(randomBytes(10), "1.0.0", "globex");
      const second = release(randomBytes(10), "1.0.1", "globex");
      await expect(second).rejects.toMatchObject({ code: "quota-exceeded" });
    });

    it("pages through releases, newest first", async () => {
      clock.advance(5);
      const late = await release(randomBytes(10), "3.0.0");
      const first = await firmware.releases.list("acme", { limit: 1 });
      expect(first.items.map((item) => item.id)).toEqual([late.id]);
      const rest = await firmware.releases.list("acme", { cursor: first.nextCursor! });
      expect(rest.items.map((item) => item.id)).not.toContain(late.id);
      expect(rest.nextCursor).toBeNull();
      const other = await firmware.releases.list("acme", { product: "lamp" });
      expect(other.items).toEqual([]);
      const forged = firmware.releases.list("acme", { cursor: "1; drop table releases" });
      await expect(forged).rejects.toMatchObject({ code: "invalid-cursor" });
    });

    it("withdraws a release once, with the reason", async () => {
      const { id } = await release(randomBytes(10), "4.0.0");
      const yanked = await firmware.releases.yank("acme", id, "bricks the hub", SYSTEM_ACTOR);
      expect(yanked).toMatchObject({ status: "yanked", yankReason: "bricks the hub" });
      const again = await firmware.releases.yank("acme", id, "another reason", SYSTEM_ACTOR);
      expect(again).toEqual(yanked);
      const foreign = firmware.releases.yank("globex", id, "not mine", SYSTEM_ACTOR);
      await expect(foreign).rejects.toMatchObject({ code: "not-found" });
    });
  });

  describe("artifacts", () => {
    it("are readable by the tenant that has them, and not found by any other", async () => {
      const image = randomBytes(5_000);
      await release(image, "5.0.0");
      const artifact = await firmware.openArtifact("acme", sha256(image));
      expect(artifact.sizeBytes).toBe(5_000);
      const middle = await artifact.read({ start: 10, end: 19 });
      expect(Buffer.concat(await middle.toArray())).toEqual(image.subarray(10, 20));
      for (const hash of [sha256(image), "0".repeat(64), "../x"]) {
        const foreign = firmware.openArtifact("globex", hash);
        await expect(foreign, hash).rejects.toMatchObject({ code: "not-found" });
      }
    });
  });

  describe("deltas", () => {
    it("of packed images lie between what they hold, for devices that can pack it", async () => {
      const text = Array.from({ length: 9_000 }, (_, line) => `line ${line * line}`).join("\n");
      const images = [text, text.replaceAll("77", "88")].map((each) =>
        Buffer.concat([gzipSync(each), zstdCompressSync(each.slice(0, 50_000))]),
      ) as [Buffer, Buffer];
      const [source, target] = images;
      await release(source, "6.2.0");
      await release(target, "6.3.0");
      await firmware.requestDeltas("acme", sha256(target), [{ sha256: sha256(source) }]);
      await buildAll("acme");
      const views = await firmware.deltas("acme", sha256(target));
      const [view] = views.filter(({ format }) => format === "unpacked-small");
      const library = `zstd-${process.versions.zstd}`;
      expect(view).toMatchObject({
        status: "ready",
        unpacked: {
          streams: [
            { codec: "gzip", count: 1 },
            { codec: "zstd", count: 1 },
          ],
          requires: library,
        },
      });
      const query = { targetSha256: sha256(target), sourceSha256: sha256(source) };
      const formats = [...ARTIFACT_FORMATS, library];
      const [best] = await firmware.offers("acme", { ...query, formats });
      expect(best?.format).toMatch(/^unpacked-/);
      const [without] = await firmware.offers("acme", { ...query, formats: ARTIFACT_FORMATS });
      expect(without?.format).not.toMatch(/^unpacked-/);
    });

    it.skipIf(!pair)(
      "rebuild the target, and are offered smallest first to who applies them",
      async () => {
        const { source, target } = pair!;
        await release(source, "6.0.0");
        await release(target, "6.1.0");
        const hashes = [sha256(source), sha256(target)] as const;
        const unknown = "f".repeat(64);
        const request = () =>
          firmware.requestDeltas(
            "acme",
            hashes[1],
            [...hashes, unknown].map((one) => ({ sha256: one })),
          );
        expect(await request()).toEqual({ queued: 6, unknownSources: [unknown], leftOut: 0 });
        expect(await request()).toEqual({ queued: 0, unknownSources: [unknown], leftOut: 0 });
        expect(await test.db.tenantsWith("open_deltas", new Date())).toEqual(["acme"]);

        const query = { targetSha256: hashes[1], sourceSha256: hashes[0] };
        const all = { ...query, formats: ARTIFACT_FORMATS };
        expect((await firmware.offers("acme", all)).map((offer) => offer.format)).toEqual(["full"]);
        await buildAll("acme");
        expect(await test.db.tenantsWith("open_deltas", new Date())).toEqual([]);
        const views = await firmware.deltas("acme", hashes[1]);
        const ready = views.filter((view) => !view.format.startsWith("unpacked-"));
        expect(ready.map((view) => view.status)).toEqual(Array(4).fill("ready"));
        // Nothing in these images is packed.
        const skipped = views.filter((view) => view.format.startsWith("unpacked-"));
        expect(skipped.map((view) => view.status)).toEqual(["skipped", "skipped"]);
        expect(skipped.map((view) => view.error)).toEqual(Array(2).fill(expect.any(String)));

        const offers = await firmware.offers("acme", all);
        expect(offers.map((offer) => offer.format)).toEqual([
          "vdelta-small",
          "vdelta-fast",
          "zstd-patch",
          "full-zstd",
          "full",
        ]);
        const [smallest] = offers;
        const before = { ...query, formats: ["full", "full-zstd", "zstd-patch"] };
        const known = await firmware.offers("acme", before);
        expect(known.map((offer) => offer.format)).toEqual(["zstd-patch", "full-zstd", "full"]);
        const rebuilt = createHash("sha256");
        const artifact = await firmware.openArtifact("acme", smallest!.sha256);
        await applyPatch({
          format: smallest!.format,
          source: { sizeBytes: source.length, read: async (at, n) => source.subarray(at, at + n) },
          patch: await artifact.read(),
          expectedSizeBytes: target.length,
          maxMemoryBytes: 1024 ** 3,
          write: async (chunk) => void rebuilt.update(chunk),
        });
        expect(rebuilt.digest("hex")).toBe(hashes[1]);

        const other = await firmware.offers("acme", { ...all, sourceSha256: null });
        expect(other.map((offer) => offer.format)).toEqual(["full-zstd", "full"]);
        const simple = await firmware.offers("acme", { ...all, formats: ["full"] });
        expect(simple.map((offer) => offer.format)).toEqual(["full"]);
        const foreign = firmware.offers("globex", all);
        await expect(foreign).rejects.toMatchObject({ code: "not-found" });
      },
    );

    it("that most devices wait for are built first, in no format that nobody applies", async () => {
      const images = Array.from({ length: 4 }, () => randomBytes(3_000));
      const [target, rare, common, late] = images.map(sha256) as [string, string, string, string];
      for (const [index, image] of images.entries()) await release(image, `8.${index}.0`);
      const asking = [
        { sha256: rare, devices: 3, formats: ["full", "vdelta-fast"] },
        { sha256: common, devices: 90, formats: ["full-zstd", "zstd-patch", "of-the-future"] },
        { sha256: late, devices: 1, formats: ["full"] },
      ];
      expect(await firmware.requestDeltas("acme", target, asking)).toMatchObject({ queued: 3 });
      const waiting = async () =>
        (await firmware.deltas("acme", target)).map(
          ({ sourceSha256, format, devices, status }) =>
            `${sourceSha256 ?? "any"} ${format} ${devices} ${status}`,
        );
      expect(await waiting()).toEqual([
        "any full-zstd 94 queued",
        `${common} zstd-patch 90 queued`,
        `${rare} vdelta-fast 3 queued`,
      ]);
      // Another rollout of the same image: more wait for what was rare.
      const again = [{ sha256: rare, devices: 200, formats: ["vdelta-fast"] }];
      expect(await firmware.requestDeltas("acme", target, again)).toMatchObject({ queued: 0 });
      expect(await firmware.buildNextDelta("acme")).toBe(true);
      expect((await waiting())[0]).toBe(`${rare} vdelta-fast 200 ready`);
      await buildAll("acme");
    });

    it("that cannot be built are tried three times, then recorded as failed", async () => {
      const [source, target] = [randomBytes(2_000), randomBytes(2_000)];
      await release(source, "7.0.0");
      await release(target, "7.1.0");
      fs.writeFileSync(await blobs.localPath(sha256(source)), "rotten");
      await firmware.requestDeltas("acme", sha256(target), [{ sha256: sha256(source) }]);
      await buildAll("acme");
      const [packed, patch] = await firmware.deltas("acme", sha256(target));
      expect(packed?.status).toBe("ready");
      expect(patch).toMatchObject({
        status: "failed",
        error: "the source image on disk is damaged",
      });
      const rows = await test.db.tenant("acme", (tx) =>
        tx.selectFrom("deltas").select("attempts").where("status", "=", "failed").execute(),
      );
      expect(rows).toEqual(Array(5).fill({ attempts: 3 }));
      await firmware.requestDeltas("acme", sha256(target), [{ sha256: sha256(source) }]);
      expect(await firmware.buildNextDelta("acme")).toBe(false);
    });

    it("whose builder died are built by the next one, once the lease has run out", async () => {
      const target = randomBytes(2_000);
      await release(target, "7.2.0");
      await firmware.requestDeltas("acme", sha256(target), []);
      await test.db.tenant("acme", (tx) =>
        tx
          .updateTable("deltas")
          .set({ status: "building", attempts: 1, lease_expires_at: new Date(clock.now() + 1_000) })
          .where("status", "=", "queued")
          .execute(),
      );
      expect(await firmware.buildNextDelta("acme")).toBe(false);
      clock.advance(2_000);
      expect(await firmware.buildNextDelta("acme")).toBe(true);
      expect((await firmware.deltas("acme", sha256(target)))[0]?.status).toBe("ready");
    });

    it("that a dead worker left are due at once when a new worker starts", async () => {
      const target = randomBytes(2_500);
      await release(target, "7.2.5");
      await firmware.requestDeltas("acme", sha256(target), []);
      await test.db.tenant("acme", (tx) =>
        tx
          .updateTable("deltas")
          .set({ status: "building", attempts: 2, lease_expires_at: new Date(clock.now() + 9_000) })
          .where("status", "=", "queued")
          .execute(),
      );
      await firmware.requeueInterruptedDeltas();
      expect(await firmware.buildNextDelta("acme")).toBe(true);
      expect((await firmware.deltas("acme", sha256(target)))[0]?.status).toBe("ready");
    });

    it("go back to the queue when the platform stops in the middle", async () => {
      const target = randomBytes(8_000_000);
      await release(target, "7.3.0");
      const stopped = make();
      await stopped.requestDeltas("acme", sha256(target), []);
      const building = stopped.buildNextDelta("acme");
      await new Promise((resolve) => setTimeout(resolve, 300));
      await stopped.stop();
      expect(await building).toBe(true);
      expect(await stopped.buildNextDelta("acme")).toBe(false);
      const [row] = await firmware.deltas("acme", sha256(target));
      expect(row?.status).toBe("queued");
      await buildAll("acme");
      expect((await firmware.deltas("acme", sha256(target)))[0]?.status).toBe("ready");
    });
  });

  it("refuses to publish under a root that has expired", async () => {
    clock.advance(YEAR_MS + 60_000);
    const image = randomBytes(10);
    const manifest = makeManifest(image, {
      tenant: "acme",
      version: "8.0.0",
      expires: new Date(clock.now() + YEAR_MS).toISOString(),
    });
    await expect(publish(image, manifest)).rejects.toMatchObject({
      code: "manifest-invalid",
      details: { check: "expiry" },
    });
  });
});

function sha256(bytes: Uint8Array): string {
  return createHash("sha256").update(bytes).digest("hex");
}
