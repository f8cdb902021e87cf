import { fork } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import type { IncomingHttpHeaders } from "node:http";
import https from "node:https";
import os from "node:os";
import path from "node:path";
import { Readable } from "node:stream";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createHttpsArtifacts } from "../../src/agent/index.ts";
import { createSiteSources } from "../../src/agent/update/site-sources.ts";
import { openBlobStore } from "../../src/blobs/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { ArtifactDisk } from "../../src/cache/artifact-disk.ts";
import { ArtifactFetch } from "../../src/cache/artifact-fetch.ts";
import { arrivingContent } from "../../src/cache/content.ts";
import { type Cache, startCache } from "../../src/cache/index.ts";
import type { Upstream } from "../../src/cache/upstream.ts";
import { type DeviceHttp, startDeviceHttp } from "../../src/device-http/index.ts";
import { createFirmware, type Firmware } from "../../src/firmware/index.ts";
import { createIdentity, type Identity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { systemRandom } from "../../src/kernel/random.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { signDocument } from "../../src/protocol/index.ts";
import { createTenancy, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { newKey, requestFor } from "../support/enrolment.ts";
import { until } from "../support/gateway.ts";
import { makeKey, makeManifest, makeRoot } from "../support/signing.ts";
import { silentLogger } from "../support/timeseries.ts";

const image = randomBytes(3_000_000);
const other = randomBytes(2_500_000);
const hashOf = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const FREE = { concurrent: 1_000, bytesPerSecond: 0 };

interface Credentials {
  key: string;
  cert: string;
}

describe("a site's download cache", () => {
  let test: TestDatabase;
  let directory: string;
  let identity: Identity;
  let firmware: Firmware;
  let platform: DeviceHttp;
  let rootPem: string;
  let device: Credentials;
  let foreign: Credentials;
  let asked: { sha256: string; range: string | undefined }[] = [];
  let stallAfterBytes = Number.POSITIVE_INFINITY;

  beforeAll(async () => {
    test = await createTestDatabase();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-cache-"));
    const tenancy = createTenancy({ db: test.db, clock: systemClock });
    const shared = {
      db: test.db,
      clock: systemClock,
      sealer: createSealer(Buffer.alloc(32, 1)),
      logger: silentLogger,
      tenancy,
      bus: new LocalBus(),
      trustDomain: "devices.vautn.internal",
      publicHost: "localhost",
      blobs: openBlobStore({ directory: path.join(directory, "blobs") }),
    };
    identity = createIdentity(shared);
    firmware = createFirmware(shared);
    await identity.ensurePlatform();
    for (const id of ["acme", "globex"]) {
      await tenancy.tenants.create({ id, name: id }, SYSTEM_ACTOR);
      await identity.ensureTenantAuthority(id);
    }
    const keys = { root: makeKey(), release: [makeKey()] };
    const online = await firmware.ensureOnlineKeys("acme");
    await firmware.setTrustRoot("acme", makeRoot("acme", keys, online), SYSTEM_ACTOR);
    for (const [version, content] of [["1.0.0", image] as const, ["1.1.0", other] as const]) {
      const manifest = makeManifest(content, { tenant: "acme", version });
      const envelope = signDocument(manifest, keys.release);
      await firmware.publish("acme", { envelope, image: Readable.from([content]) }, SYSTEM_ACTOR);
    }
    rootPem = await identity.rootCertificatePem();
    platform = await startDeviceHttp({
      identity,
      firmware: {
        ...firmware,
        async openArtifact(tenantId: string, sha256: string) {
          const artifact = await firmware.openArtifact(tenantId, sha256);
          return {
            ...artifact,
            async read(range?: { start: number; end: number }) {
              asked.push({ sha256, range: range && `${range.start}-${range.end}` });
              return stalling(await artifact.read(range));
            },
          };
        },
      },
      tenancy,
      clock: systemClock,
      logger: silentLogger,
      port: 0,
      bindAddress: "127.0.0.1",
      mqttUrl: "mqtts://localhost:8883",
      httpsUrl: "https://localhost:8443",
    });
    device = await enrol("acme", "d-1");
    foreign = await enrol("globex", "g-1");
    const site = await enrol("acme", "site-cache");
    fs.mkdirSync(path.join(directory, "identity"));
    for (const [name, text] of [
      ["key.pem", site.key],
      ["certificate.pem", site.cert],
      ["root.pem", rootPem],
    ] as const) {
      fs.writeFileSync(path.join(directory, "identity", name), text);
    }
  });
  afterAll(async () => {
    await platform?.close();
    await firmware?.stop();
    await test?.close();
    fs.rmSync(directory, { recursive: true, force: true });
  });

  /** Sends no more after so many bytes, as a line does that is about to break. */
  function stalling(content: Readable): Readable {
    if (stallAfterBytes === Number.POSITIVE_INFINITY) return content;
    return Readable.from(
      (async function* () {
        let sent = 0;
        for await (const chunk of content) {
          sent += chunk.length;
          yield chunk;
          while (sent >= stallAfterBytes) await new Promise((resolve) => setTimeout(resolve, 20));
        }
      })(),
      { objectMode: false },
    );
  }

  async function enrol(tenantId: string, deviceId: string): Promise<Credentials> {
    const key = newKey();
    const { chainPem } = await identity.enroll({
      tenantId,
      csr: requestFor(key, { tenantId, deviceId }),
      via: "test",
      authority: { kind: "operator", actor: SYSTEM_ACTOR, deviceId },
      device: { product: "hub", hardwareRevision: "a" },
    });
    return { key: key.export({ type: "pkcs8", format: "pem" }) as string, cert: chainPem };
  }

  function start(name: string, change: { maxBytes?: number; upstreamUrl?: string } = {}) {
    return startCache({
      directory: path.join(directory, name),
      upstreamUrl: `https://localhost:${platform.port}`,
      identityDirectory: path.join(directory, "identity"),
      maxBytes: 100_000_000,
      port: 0,
      statusPort: 0,
      bindAddress: "127.0.0.1",
      publicHost: "localhost",
      downloads: FREE,
      clock: systemClock,
      random: systemRandom,
      logger: silentLogger,
      ...change,
    });
  }

  async function get(
    cache: Pick<Cache, "port" | "certificateFile">,
    url: string,
    credentials: Partial<Credentials> = device,
    options: https.RequestOptions = {},
  ): Promise<{ status: number; headers: IncomingHttpHeaders; body: Buffer }> {
    const request = https.request({
      host: "localhost",
      port: cache.port,
      path: url,
      ca: fs.readFileSync(cache.certificateFile, "utf8"),
      agent: false,
      ...credentials,
      ...options,
    });
    request.end();
    const [response] = await once(request, "response");
    const body = Buffer.concat(await response.toArray());
    return { status: response.statusCode, headers: response.headers, body };
  }
  const urlOf = (content: Buffer) => `/artifacts/${hashOf(content)}`;

  it("fetches an artifact once for all who ask, and then needs the platform no more", async () => {
    asked = [];
    let cache = await start("once");
    const answers = await Promise.all(Array.from({ length: 10 }, () => get(cache, urlOf(image))));
    for (const { status, body } of answers) {
      expect(status).toBe(200);
      expect(body.equals(image)).toBe(true);
    }
    expect(asked).toEqual([{ sha256: hashOf(image), range: "0-2999999" }]);
    const part = await get(cache, urlOf(image), device, { headers: { range: "bytes=-10" } });
    expect(part.status).toBe(206);
    expect(part.body.equals(image.subarray(-10))).toBe(true);
    const head = await get(cache, urlOf(image), device, { method: "HEAD" });
    expect(head.headers).toMatchObject({
      "content-length": "3000000",
      etag: `"${hashOf(image)}"`,
      "accept-ranges": "bytes",
    });
    const { path: signed } = await firmware.links.create(
      "acme",
      { sha256: hashOf(image), deviceId: null, validSeconds: 60 },
      SYSTEM_ACTOR,
    );
    await cache.stop();

    // The line is cut: nothing listens where the platform was.
    cache = await start("once", { upstreamUrl: "https://localhost:9" });
    expect((await get(cache, urlOf(image))).body.equals(image)).toBe(true);
    expect((await get(cache, signed, {})).body.equals(image)).toBe(true);
    const forged = await get(cache, signed.replace("tenant=acme", "tenant=globex"), {});
    expect([forged.status, JSON.parse(forged.body.toString()).code]).toEqual([403, "link-refused"]);
    await cache.stop();
  });

  it("serves devices of its own tenant only, and nothing that the tenant does not have", async () => {
    const cache = await start("tenant");
    for (const credentials of [foreign, {}]) {
      expect((await get(cache, urlOf(image), credentials)).status).toBe(403);
    }
    expect((await get(cache, `/artifacts/${"0".repeat(64)}`)).status).toBe(404);
    for (const url of ["/artifacts/..%2f..%2fidentity%2fkey.pem", "/artifacts/x", "/"]) {
      expect((await get(cache, url)).status).toBe(404);
    }
    const metrics = await fetch(`http://localhost:${cache.statusPort}/metrics`);
    expect(await metrics.text()).toContain("vautn_cache_requests_total");
    await cache.stop();
  });

  it("goes on where a killed one stopped, and believes nothing that lay there", async () => {
    for (const [name, left, range] of [
      ["resumed", image.subarray(0, 1_000_000), "1000000-2999999"],
      ["spoilt", randomBytes(1_000_000), "1000000-2999999"],
    ] as const) {
      asked = [];
      const partial = path.join(directory, name, "artifacts", "partial");
      fs.mkdirSync(partial, { recursive: true });
      fs.writeFileSync(path.join(partial, hashOf(image)), left);
      const cache = await start(name);
      let answer = await get(cache, urlOf(image)).catch(() => undefined);
      // Whoever read of the spoilt bytes was cut off before the end, and asks again.
      answer ??= await get(cache, urlOf(image));
      expect(answer.body.equals(image), name).toBe(true);
      expect(asked[0]).toEqual({ sha256: hashOf(image), range });
      await cache.stop();
    }
    expect(asked).toHaveLength(2);
  });

  it("is killed in the middle of a fetch, and its next start hands out what it should", async () => {
    asked = [];
    stallAfterBytes = 1_500_000;
    const folder = path.join(directory, "killed");
    const script = path.resolve(import.meta.dirname, "../support/cache-process.ts");
    const site = [path.join(directory, "identity"), `https://localhost:${platform.port}`];
    const child = fork(script, [folder, ...site], { execArgv: [] });
    const [killed] = (await once(child, "message")) as [Pick<Cache, "port" | "certificateFile">];
    const cut = get(killed, urlOf(image)).then(
      () => "whole",
      () => "cut off",
    );
    const partial = path.join(folder, "artifacts", "partial", hashOf(image));
    const sizeOf = () => fs.statSync(partial, { throwIfNoEntry: false })?.size ?? 0;
    await until(() => sizeOf() >= 500_000);
    child.kill("SIGKILL");
    await once(child, "exit");
    expect(await cut).toBe("cut off");
    stallAfterBytes = Number.POSITIVE_INFINITY;
    const left = sizeOf();
    const cache = await start("killed");
    const { body } = await get(cache, urlOf(image));
    expect(body.equals(image)).toBe(true);
    // It goes on where it was, and no byte twice.
    expect(asked.at(-1)).toEqual({ sha256: hashOf(image), range: `${left}-2999999` });
    expect(fs.existsSync(partial)).toBe(false);
    await cache.stop();
  });

  it("throws away what was used longest ago, and refuses what is larger than its disk", async () => {
    const cache = await start("small", { maxBytes: 4_000_000 });
    await get(cache, urlOf(image));
    await get(cache, urlOf(other));
    const whole = path.join(directory, "small", "artifacts", "whole");
    expect(fs.readdirSync(whole)).toEqual([hashOf(other)]);
    await cache.stop();
    const tiny = await start("tiny", { maxBytes: 2_000_000 });
    expect((await get(tiny, urlOf(image))).status).toBe(507);
    await tiny.stop();
    const holding = await start("holding", { maxBytes: 2_600_000 });
    await get(holding, urlOf(other));
    expect((await get(holding, urlOf(image))).status).toBe(507);
    const kept = path.join(directory, "holding", "artifacts", "whole");
    expect(fs.readdirSync(kept)).toEqual([hashOf(other)]);
    await holding.stop();
  });

  it("completes what a killed one had whole, and begins anew where it was not that", async () => {
    for (const [name, left, requests] of [
      ["unnamed", image, []],
      ["as long", randomBytes(image.length), [{ sha256: hashOf(image), range: "0-2999999" }]],
      ["longer", randomBytes(image.length + 1), [{ sha256: hashOf(image), range: "0-2999999" }]],
    ] as const) {
      asked = [];
      const artifacts = path.join(directory, name, "artifacts");
      fs.mkdirSync(path.join(artifacts, "partial"), { recursive: true });
      fs.writeFileSync(path.join(artifacts, "partial", hashOf(image)), left);
      const cache = await start(name);
      expect((await get(cache, urlOf(image))).body.equals(image), name).toBe(true);
      expect(asked, name).toEqual(requests);
      await expect.poll(() => fs.readdirSync(path.join(artifacts, "partial"))).toEqual([]);
      await cache.stop();
    }
  });

  it("gives up what an ended fetch has left before it refuses another, not one that runs", async () => {
    const disk = await ArtifactDisk.open(path.join(directory, "left"), 4_000_000);
    let answers = 0;
    const upstream: Upstream = {
      async fetch() {
        answers += 1;
        return {
          status: answers === 1 ? 200 : 403,
          sizeBytes: image.length,
          offset: 0,
          retryAfterSeconds: undefined,
          body: Readable.from([image.subarray(0, 1_000_000)]),
          drop: () => {},
        };
      },
      readJson: async () => ({ keys: {} }),
    };
    const deps = { disk, upstream, clock: systemClock, random: { next: () => 0 }, log: () => {} };
    const fetching = new ArtifactFetch(deps, hashOf(image));
    await fetching.begun;
    const reserve = () => disk.reserve(hashOf(other), other.length);
    await expect(reserve()).rejects.toMatchObject({ code: "storage-full" });
    await fetching.done;
    expect(fetching.failure).toMatchObject({ code: "unavailable" });
    const partial = path.join(directory, "left", "partial");
    expect(fs.readdirSync(partial)).toEqual([hashOf(image)]);
    await reserve();
    expect(fs.readdirSync(partial)).toEqual([]);
  });

  it("is passed by when it fails: the agent's download comes from the platform", async () => {
    const credentials = async () => ({ key: device.key, certificate: device.cert, root: rootPem });
    const cache = await start("agent");
    const site = (base: string) => {
      const root = fs.readFileSync(cache.certificateFile, "utf8");
      return {
        base,
        source: createHttpsArtifacts(async () => ({ ...(await credentials()), root })),
      };
    };
    const said: string[] = [];
    const sources = (base: string) =>
      createSiteSources({
        sites: [site(base)],
        platform: createHttpsArtifacts(credentials),
        clock: systemClock,
        log: (message) => said.push(message),
      });
    const read = async (source: ReturnType<typeof sources>) => {
      const url = `https://localhost:${platform.port}${urlOf(image)}`;
      const { body } = await source.fetch(url, 0, AbortSignal.timeout(20_000));
      const chunks: Uint8Array[] = [];
      for await (const chunk of body) chunks.push(chunk);
      return Buffer.concat(chunks);
    };
    asked = [];
    const near = sources(`https://localhost:${cache.port}`);
    expect((await read(near)).equals(image)).toBe(true);
    expect((await read(near)).equals(image)).toBe(true);
    expect(asked).toHaveLength(1);
    near.distrust?.();
    expect((await read(near)).equals(image)).toBe(true);
    expect(asked).toHaveLength(2);
    expect((await read(sources("https://localhost:9"))).equals(image)).toBe(true);
    expect(said.join("\n")).toMatch(/another hash[\s\S]*https:\/\/localhost:9 is left alone/);
    await cache.stop();
  });

  it("never completes an artifact that the platform got wrong", async () => {
    const disk = await ArtifactDisk.open(path.join(directory, "wrong"), 100_000_000);
    const spoilt = Buffer.from(image);
    spoilt[10] = (spoilt[10] as number) ^ 1;
    let answers = 0;
    const upstream: Upstream = {
      async fetch(_sha256, offset) {
        answers += 1;
        return {
          status: offset > 0 ? 206 : 200,
          sizeBytes: spoilt.length,
          offset,
          retryAfterSeconds: undefined,
          body: Readable.from([spoilt.subarray(offset, 2_000_000), spoilt.subarray(2_000_000)]),
          drop: () => {},
        };
      },
      readJson: async () => ({ keys: {} }),
    };
    const deps = { disk, upstream, clock: systemClock, random: { next: () => 0 }, log: () => {} };
    const fetching = new ArtifactFetch(deps, hashOf(image));
    await fetching.begun;
    const got: Uint8Array[] = [];
    const read = async (start: number, end: number) => {
      for await (const chunk of arrivingContent(fetching, disk, { start, end }, systemClock)) {
        got.push(chunk);
      }
    };
    const [whole, middle] = await Promise.allSettled([read(0, image.length - 1), read(0, 99)]);
    for (const outcome of [whole, middle]) {
      expect(outcome).toMatchObject({ status: "rejected", reason: { code: "unavailable" } });
    }
    await fetching.done;
    expect(fetching.state).toBe("failed");
    expect(answers).toBe(2);
    expect(Buffer.concat(got).length).toBeLessThan(image.length);
    expect(disk.sizeOf(hashOf(image))).toBeUndefined();
    expect(fs.readdirSync(path.join(directory, "wrong", "partial"))).toEqual([]);
  });
});
