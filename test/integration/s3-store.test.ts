import { createHash, randomBytes, randomUUID } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import https from "node:https";
import type { AddressInfo } from "node:net";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import type { TLSSocket } from "node:tls";
import S3rver from "s3rver";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { createHttpsArtifacts } from "../../src/agent/index.ts";
import { type BlobStore, openBlobStore, parseS3Address } from "../../src/blobs/index.ts";
import { createUpstream } from "../../src/cache/upstream.ts";
import { describeConfig, readConfig } from "../../src/kernel/config.ts";
import { forge } from "../support/pki.ts";
import { judgePresigned } from "../support/signature-v4.ts";

const content = randomBytes(20 * 1024 ** 2);
const sha256 = createHash("sha256").update(content).digest("hex");

/** Writes one piece of an upload, as one machine does. */
async function stage(
  { staging }: BlobStore,
  id: string,
  { offset, state }: { offset: number; state: string | null },
  content: Buffer,
): Promise<string | null> {
  const writer = await staging.writer(id, offset, state);
  await writer.write(content);
  const kept = await writer.sync();
  await writer.close();
  return kept;
}

describe("blobs in an S3-compatible store", () => {
  let directory: string;
  let server: S3rver;
  let url: string;
  let blobs: BlobStore;
  const before = { ...process.env };

  beforeAll(async () => {
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-s3-"));
    server = new S3rver({
      port: 0,
      address: "127.0.0.1",
      silent: true,
      directory: path.join(directory, "s3"),
      configureBuckets: [{ name: "vautn-blobs", configs: [] }],
    });
    const { port } = await server.run();
    process.env.AWS_ACCESS_KEY_ID = "S3RVER";
    process.env.AWS_SECRET_ACCESS_KEY = "S3RVER";
    const endpoint = encodeURIComponent(`http://127.0.0.1:${port}`);
    url = `s3://vautn-blobs/site-a?endpoint=${endpoint}&pathStyle=true&redirect=true&encryption=AES256`;
    blobs = openBlobStore({ directory: path.join(directory, "local"), url });
  });
  afterAll(async () => {
    await server?.close();
    process.env = before;
    fs.rmSync(directory, { recursive: true, force: true });
  });

  const read = async (stream: Readable) => Buffer.concat(await stream.toArray());

  it("go up in parts, are found by their hash and come down by range", async () => {
    const stat = await blobs.put(Readable.from(chunks(content)), { maxBytes: content.length });
    expect(stat).toEqual({ sha256, sizeBytes: content.length });
    expect(await blobs.stat(sha256)).toEqual(stat);
    expect((await read(await blobs.open(sha256))).equals(content)).toBe(true);
    const part = await read(await blobs.open(sha256, { start: 5, end: 9_999_999 }));
    expect(part.equals(content.subarray(5, 10_000_000))).toBe(true);
    const copy = await blobs.localPath(sha256);
    expect(fs.readFileSync(copy).equals(content)).toBe(true);
    const listed = [];
    for await (const blob of blobs.list()) listed.push(blob);
    expect(listed).toMatchObject([{ sha256, sizeBytes: content.length }]);
    expect(fs.readdirSync(path.join(directory, "local", "incoming"))).toEqual([]);
  });

  it("keep the copies that were handed out last, and none away from who has just got it", async () => {
    const copies = path.join(directory, "local", "copies");
    const aged = (name: string, minutes: number) => {
      const at = new Date(Date.now() - minutes * 60_000);
      fs.writeFileSync(path.join(copies, name), "", { flag: "a" });
      fs.utimesSync(path.join(copies, name), at, at);
    };
    aged(sha256, 1_000);
    const named = (index: number) => index.toString(16).padStart(64, "0");
    for (let index = 0; index < 18; index += 1) aged(named(index), index < 3 ? 100 - index : 50);
    await blobs.localPath(sha256);
    const small = Buffer.from("another");
    const stat = await blobs.put(Readable.from([small]), { maxBytes: 100 });
    await blobs.localPath(stat.sha256);
    const young = Array.from({ length: 15 }, (_, index) => named(index + 3));
    expect(fs.readdirSync(copies).toSorted()).toEqual([...young, sha256, stat.sha256].toSorted());
    await blobs.delete(stat.sha256);
  });

  it("are handed on by URLs that a store's own rules find rightly signed, for a while", async () => {
    // The example of AWS's own documentation: the judge itself is right.
    const example =
      "https://examplebucket.s3.amazonaws.com/test.txt?X-Amz-Algorithm=AWS4-HMAC-SHA256" +
      "&X-Amz-Credential=AKIAIOSFODNN7EXAMPLE%2F20130524%2Fus-east-1%2Fs3%2Faws4_request" +
      "&X-Amz-Date=20130524T000000Z&X-Amz-Expires=86400&X-Amz-SignedHeaders=host" +
      "&X-Amz-Signature=aeeed9bbccd4d02ee5c0109b86d86835f995330da4c265957d157751f604d404";
    const theirs = {
      id: "AKIAIOSFODNN7EXAMPLE",
      secret: "wJalrXUtnFEMI/K7MDENG/bPxRfiCYEXAMPLEKEY",
    };
    expect(judgePresigned("GET", example, theirs, Date.UTC(2013, 4, 24, 1))).toBe("valid");

    const address = (await blobs.presignedUrl(sha256)) ?? "";
    const ours = { id: "S3RVER", secret: "S3RVER" };
    const now = Date.now();
    expect(judgePresigned("GET", address, ours, now)).toBe("valid");
    expect(judgePresigned("GET", address, ours, now + 301_000)).toBe("expired");
    expect(judgePresigned("PUT", address, ours, now)).toBe("wrong signature");
    expect(judgePresigned("GET", address, { ...ours, secret: "other" }, now)).toBe(
      "wrong signature",
    );
    const other = address.replace(sha256, "0".repeat(64));
    expect(judgePresigned("GET", other, ours, now)).toBe("wrong signature");
    const longer = address.replace(/X-Amz-Expires=\d+/, "X-Amz-Expires=604800");
    expect(longer).not.toBe(address);
    expect(judgePresigned("GET", longer, ours, now)).toBe("wrong signature");
  });

  it("refuse what is too long or has another hash, and store nothing of it", async () => {
    const small = Buffer.from("small");
    const expectedSha256 = "0".repeat(64);
    const put = (options: object) =>
      blobs.put(Readable.from([small]), { maxBytes: 100, ...options });
    await expect(put({ expectedSha256 })).rejects.toMatchObject({ code: "image-mismatch" });
    await expect(put({ maxBytes: 4 })).rejects.toMatchObject({ code: "payload-too-large" });
    expect(await blobs.has(createHash("sha256").update(small).digest("hex"))).toBe(false);
    await expect(blobs.open("../../etc/passwd")).rejects.toMatchObject({ code: "not-found" });
    await expect(blobs.open("f".repeat(64))).rejects.toMatchObject({ code: "not-found" });
  });

  it("are made of uploads, once, also when the first attempt was cut off", async () => {
    const id = "01990000-0000-7000-8000-00000000000a";
    const body = randomBytes(100_000);
    const hash = createHash("sha256").update(body).digest("hex");
    const state = await stage(blobs, id, { offset: 0, state: null }, body);
    await blobs.adopt(
      { staging: blobs.staging, id, state },
      { sha256: hash, sizeBytes: body.length },
    );
    await blobs.adopt(
      { staging: blobs.staging, id, state },
      { sha256: hash, sizeBytes: body.length },
    );
    expect(await blobs.staging.list()).toEqual([]);
    expect((await read(await blobs.open(hash))).equals(body)).toBe(true);
    await blobs.delete(hash);
    expect(await blobs.has(hash)).toBe(false);
  });

  describe("that are still on their way", () => {
    const id = "01990000-0000-7000-8000-0000000000aa";
    const elsewhere = () =>
      openBlobStore({ directory: fs.mkdtempSync(path.join(directory, "machine-")), url });
    const staged = async (store: BlobStore, sizeBytes: number, state: string | null) =>
      Buffer.concat(await Readable.from(store.staging.read(id, sizeBytes, state)).toArray());
    afterEach(() => blobs.staging.remove(id));

    it("go on from any machine, and become one blob on a third", async () => {
      const parts = [randomBytes(70_000), randomBytes(10), randomBytes(300_000)];
      const body = Buffer.concat(parts);
      let at = { offset: 0, state: null as string | null };
      for (const part of parts) {
        const state = await stage(elsewhere(), id, at, part);
        at = { offset: at.offset + part.length, state };
      }
      const third = elsewhere();
      expect((await staged(third, body.length, at.state)).equals(body)).toBe(true);
      expect(await third.staging.list()).toMatchObject([{ id }]);
      const hash = createHash("sha256").update(body).digest("hex");
      await third.adopt(
        { staging: third.staging, id, state: at.state },
        { sha256: hash, sizeBytes: body.length },
      );
      expect((await read(await blobs.open(hash))).equals(body)).toBe(true);
      expect(await blobs.staging.list()).toEqual([]);
    });

    it("hold nothing of a writer that was overtaken", async () => {
      const first = await stage(blobs, id, { offset: 0, state: null }, Buffer.from("first "));
      const slow = await elsewhere().staging.writer(id, 6, first);
      await slow.write(Buffer.from("lost"));
      const at = { offset: 6, state: first };
      const whole = await stage(elsewhere(), id, at, Buffer.from("second"));
      // It comes to its senses, and what it sends is in nobody's list.
      await slow.sync();
      await slow.close();
      expect(String(await staged(blobs, 12, whole))).toBe("first second");
    });

    it("are written over from where they stand, and gone where the store has lost them", async () => {
      const first = await stage(blobs, id, { offset: 0, state: null }, Buffer.from("first "));
      const longer = await stage(blobs, id, { offset: 6, state: first }, Buffer.from("forgotten"));
      const again = await stage(blobs, id, { offset: 6, state: longer }, Buffer.from("kept"));
      expect(String(await staged(blobs, 10, again))).toBe("first kept");
      const gone = { code: "upload-gone" };
      await expect(blobs.staging.writer(id, 3, again)).rejects.toMatchObject(gone);
      await expect(staged(blobs, 11, again)).rejects.toMatchObject(gone);
      await blobs.staging.remove(id);
      await expect(staged(blobs, 10, again)).rejects.toMatchObject(gone);
    });
  });

  it("of a tenant that is kept apart lie under a prefix of its own, and go with it", async () => {
    const [own, other] = [blobs.own("vault"), blobs.own("acme")];
    const secret = randomBytes(1_000);
    const put = (place: typeof own) => place.put(Readable.from([secret]), { maxBytes: 1_000 });
    const stat = await put(own);
    expect(await own.stat(stat.sha256)).toEqual(stat);
    for (const place of [blobs, other]) expect(await place.has(stat.sha256)).toBe(false);
    await put(other);
    expect((await blobs.owners()).sort()).toEqual(["acme", "vault"]);
    const signed = await own.presignedUrl(stat.sha256);
    expect(signed).toContain("/site-a/tenants/vault/blobs/");
    const copy = await own.localPath(stat.sha256);
    expect(fs.readFileSync(copy).equals(secret)).toBe(true);
    const listed: string[] = [];
    for await (const { sha256 } of blobs.list()) listed.push(sha256);
    expect(listed).not.toContain(stat.sha256);
    const [id, left] = [randomUUID(), randomUUID()];
    const states: Record<string, string | null> = {};
    await own.staging.assertRoom(1_000);
    for (const one of [id, left]) {
      const writer = await own.staging.writer(one, 0, null);
      await writer.write(secret);
      states[one] = await writer.sync();
      await writer.close();
    }
    const stagedIds = async (place: Pick<typeof own, "staging">) =>
      (await place.staging.list()).map((one) => one.id).sort();
    expect(await stagedIds(own)).toEqual([id, left].sort());
    expect(await stagedIds(blobs)).not.toContain(id);
    await own.delete(stat.sha256);
    await own.adopt({ staging: own.staging, id, state: states[id] ?? null }, stat);
    expect(await own.has(stat.sha256)).toBe(true);
    expect(await stagedIds(own)).toEqual([left]);
    await own.drop();
    expect(await stagedIds(own)).toEqual([]);
    await own.drop();
    expect(await own.has(stat.sha256)).toBe(false);
    expect(fs.existsSync(copy)).toBe(false);
    expect(await other.has(stat.sha256)).toBe(true);
    expect(await blobs.owners()).toEqual(["acme"]);
    expect(() => blobs.own("../acme")).toThrow();
  });

  it("are fetched from the store itself by a presigned URL, by range too", async () => {
    const presigned = (await blobs.presignedUrl(sha256)) as string;
    const answer = await fetch(presigned, { headers: { range: "bytes=10-19" } });
    expect(answer.status).toBe(206);
    expect(Buffer.from(await answer.arrayBuffer()).equals(content.subarray(10, 20))).toBe(true);
    expect(presigned).toContain("X-Amz-Expires=300");
  });

  it("are unavailable and not lost when the store does not answer", async () => {
    const nowhere = openBlobStore({
      directory: path.join(directory, "nowhere"),
      url: "s3://vautn-blobs?endpoint=http%3A%2F%2F127.0.0.1%3A9&pathStyle=true",
    });
    await expect(nowhere.stat(sha256)).rejects.toMatchObject({ code: "unavailable" });
    expect(await nowhere.presignedUrl(sha256)).toBeUndefined();
  });

  it("send devices and caches elsewhere without their certificates, with their range", async () => {
    const authority = await forge({ subject: "CN=Root", authority: true });
    const certificate = await forge({
      subject: "CN=localhost",
      dns: ["localhost"],
      issuer: authority,
    });
    const seen: { certificate: boolean; range: string | undefined }[] = [];
    const tlsOptions = { key: certificate.keyPem, cert: certificate.certificatePem };
    const store = https.createServer({
      ...tlsOptions,
      requestCert: true,
      rejectUnauthorized: false,
    });
    store.on("request", (request, response) => {
      const shown = (request.socket as TLSSocket).getPeerX509Certificate() !== undefined;
      seen.push({ certificate: shown, range: request.headers.range });
      response
        .writeHead(206, { "content-range": "bytes 5-9/10", "content-length": 5 })
        .end("56789");
    });
    const portOf = async (listener: https.Server) => {
      listener.listen(0, "127.0.0.1");
      await once(listener, "listening");
      return (listener.address() as AddressInfo).port;
    };
    const storePort = await portOf(store);
    const platform = https.createServer(tlsOptions, (_request, response) => {
      response.writeHead(307, { location: `https://localhost:${storePort}/x?sig=1` }).end();
    });
    const platformPort = await portOf(platform);
    const identity = { key: certificate.keyPem, certificate: certificate.certificatePem };
    const root = authority.certificatePem;
    const base = `https://localhost:${platformPort}`;
    const source = createHttpsArtifacts(async () => ({ ...identity, root }));
    const response = await source.fetch(`${base}/artifacts/x`, 5, AbortSignal.timeout(10_000));
    expect(response.status).toBe(206);
    expect((await read(Readable.from(response.body))).toString()).toBe("56789");
    for (const [name, text] of [
      ["key.pem", identity.key],
      ["certificate.pem", identity.certificate],
      ["root.pem", root],
    ] as const) {
      fs.writeFileSync(path.join(directory, name), text);
    }
    const upstream = createUpstream({ url: base, identity: directory });
    const answer = await upstream.fetch(sha256, 5, AbortSignal.timeout(10_000));
    expect(answer).toMatchObject({ status: 206, offset: 5, sizeBytes: 10 });
    answer.drop();
    expect(seen).toEqual(Array(2).fill({ certificate: false, range: "bytes=5-" }));
    for (const listener of [store, platform]) {
      listener.close();
      listener.closeAllConnections();
    }
  });
});

describe("the address of a store", () => {
  it.each([
    "http://bucket",
    "s3://key:secret@bucket",
    "s3://bucket?acl=public",
    "s3://bucket?redirect=yes",
    "s3://bucket?encryption=rot13",
    "s3://bucket?endpoint=ftp://x",
    "s3://B",
  ])("refuses %s", (text) => {
    expect(() => parseS3Address(text)).toThrow();
  });

  it("is shown by the configuration, which takes no credentials in it", () => {
    const config = readConfig({ BLOB_URL: "s3://bucket?redirect=true" });
    expect(describeConfig(config).BLOB_URL).toBe("s3://bucket?redirect=true");
    expect(() => readConfig({ BLOB_URL: "s3://key:secret@bucket" })).toThrow(/AWS_ACCESS_KEY_ID/);
  });
});

function* chunks(of: Buffer): Generator<Buffer> {
  for (let at = 0; at < of.length; at += 64 * 1024) yield of.subarray(at, at + 64 * 1024);
}
