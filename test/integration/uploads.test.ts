import { spawn } from "node:child_process";
import { createHash, randomBytes } from "node:crypto";
import { once } from "node:events";
import fs from "node:fs";
import net from "node:net";
import os from "node:os";
import path from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import * as tus from "tus-js-client";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { trustedRelease } from "../support/api-release.ts";

const OFFSET_STREAM = "application/offset+octet-stream";

const hex = (content: Buffer) => createHash("sha256").update(content).digest("hex");
const base64 = (text: string) => Buffer.from(text).toString("base64");

describe("resumable uploads", () => {
  let test: TestApi;
  let base: string;
  beforeAll(async () => {
    test = await startTestApi();
    base = await test.listen();
  });
  afterAll(() => test.close());

  const collection = (tenant = "acme") => `${base}/api/v1/tenants/${tenant}/uploads`;

  /** One request as curl would send it. */
  async function send(method: string, url: string, options: Request & { key?: string } = {}) {
    const { headers, body, key = test.acme } = options;
    const response = await fetch(url, {
      method,
      headers: {
        authorization: `Bearer ${key}`,
        "tus-resumable": "1.0.0",
        ...(body === undefined ? {} : { "content-type": OFFSET_STREAM }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: new Uint8Array(body) }),
    });
    const text = await response.text();
    return {
      status: response.status,
      headers: response.headers,
      code: text.startsWith("{") ? JSON.parse(text).code : undefined,
      offset: Number(response.headers.get("upload-offset") ?? Number.NaN),
    };
  }
  interface Request {
    headers?: Record<string, string>;
    body?: Buffer;
  }

  async function create(sizeBytes: number, metadata = "", key = test.acme, tenant = "acme") {
    const headers = {
      "upload-length": String(sizeBytes),
      ...(metadata === "" ? {} : { "upload-metadata": metadata }),
    };
    const answer = await send("POST", collection(tenant), { headers, key });
    const url = new URL(answer.headers.get("location") ?? "/none", base).href;
    return { ...answer, url, id: url.split("/").at(-1) as string };
  }
  const append = (url: string, offset: number, body: Buffer, headers = {}) =>
    send("PATCH", url, { body, headers: { "upload-offset": String(offset), ...headers } });

  it("take an image in pieces, and a release is published from it", async () => {
    const sign = await trustedRelease(test, "acme");
    const image = randomBytes(300_000);
    const upload = await create(image.length, `filename ${base64("../../etc/hub.bin")}`);
    expect(upload.status).toBe(201);
    const first = await append(upload.url, 0, image.subarray(0, 100_000));
    expect([first.status, first.offset]).toEqual([204, 100_000]);

    const head = await send("HEAD", upload.url);
    expect(head.offset).toBe(100_000);
    expect(Object.fromEntries(head.headers)).toMatchObject({
      "upload-length": "300000",
      "upload-metadata": `filename ${base64("../../etc/hub.bin")}`,
      "cache-control": "no-store",
      "tus-resumable": "1.0.0",
      "upload-expires": expect.stringContaining("GMT"),
    });

    const early = await test.call("POST", "/tenants/acme/releases/from-upload", {
      body: { upload: upload.id, manifest: await sign(image, "3.0.0") },
    });
    expect([early.status, early.body.code]).toEqual([409, "conflict"]);

    const last = await append(upload.url, 100_000, image.subarray(100_000));
    expect(last.headers.get("vautn-sha256")).toBe(hex(image));
    const view = await test.call("GET", `/tenants/acme/uploads/${upload.id}`);
    expect(view.body).toMatchObject({ status: "complete", name: "hub.bin", sha256: hex(image) });

    const other = await test.call("POST", "/tenants/acme/releases/from-upload", {
      body: { upload: upload.id, manifest: await sign(randomBytes(300_000), "3.0.0") },
    });
    expect(other.body.code).toBe("image-mismatch");
    const published = await test.call("POST", "/tenants/acme/releases/from-upload", {
      body: { upload: upload.id, manifest: await sign(image, "3.0.0"), notes: "new" },
    });
    expect(published.status, JSON.stringify(published.body)).toBe(201);
    expect(published.body).toMatchObject({ imageSha256: hex(image), notes: "new" });
    const artifact = await test.modules.firmware.openArtifact("acme", hex(image));
    expect(artifact.sizeBytes).toBe(image.length);
    expect((await send("HEAD", upload.url)).status).toBe(404);
  });

  it("serve an unmodified tus client, also after its line was cut", async () => {
    const image = randomBytes(2_000_000);
    const options = (): tus.UploadOptions => ({
      endpoint: collection(),
      headers: { authorization: `Bearer ${test.acme}` },
      metadata: { filename: "hub.bin", sha256: hex(image) },
      chunkSize: 500_000,
      retryDelays: [0, 50, 200, 1_000, 3_000],
    });
    const url = await new Promise<string>((resolve, reject) => {
      const upload = new tus.Upload(image, {
        ...options(),
        onError: reject,
        onChunkComplete(_size, accepted) {
          if (accepted < 1_000_000) return;
          resolve(upload.url as string);
          void upload.abort();
        },
      });
      upload.start();
    });
    await new Promise<void>((resolve, reject) => {
      new tus.Upload(image, {
        ...options(),
        uploadUrl: url,
        onError: reject,
        onSuccess: () => resolve(),
      }).start();
    });
    const view = await test.call("GET", url.slice(base.length));
    expect(view.body).toMatchObject({ status: "complete", sha256: hex(image) });
    await tus.Upload.terminate(url, options());
    expect((await send("HEAD", url)).status).toBe(404);
  });

  it("create with the first bytes, and say what they speak", async () => {
    const body = Buffer.from("small image");
    const made = await send("POST", collection(), {
      body,
      headers: { "upload-length": String(body.length) },
    });
    expect([made.status, made.offset]).toEqual([201, body.length]);
    expect(made.headers.get("vautn-sha256")).toBe(hex(body));
    const empty = await create(0);
    expect(empty.headers.get("vautn-sha256")).toBe(hex(Buffer.alloc(0)));
    const options = await send("OPTIONS", collection());
    expect(options.headers.get("tus-extension")).toBe(
      "creation,creation-with-upload,checksum,expiration,termination",
    );
    expect(options.headers.get("tus-checksum-algorithm")).toContain("sha256");
    for (const url of [made, empty].map((answer) => answer.headers.get("location") as string)) {
      expect((await send("DELETE", new URL(url, base).href)).status).toBe(204);
    }
  });

  it("take bytes with a checksum as a whole or not at all", async () => {
    const body = randomBytes(50_000);
    const upload = await create(body.length);
    const digest = (name: string, of: Buffer) => ({
      "upload-checksum": `${name} ${createHash(name).update(of).digest("base64")}`,
    });
    const wrong = await append(upload.url, 0, body, digest("sha256", Buffer.from("other")));
    expect([wrong.status, wrong.code]).toEqual([460, "checksum-mismatch"]);
    expect((await send("HEAD", upload.url)).offset).toBe(0);
    const unknown = await append(upload.url, 0, body, { "upload-checksum": "md5 AAAA" });
    expect(unknown.status).toBe(400);
    const half = body.subarray(0, 20_000);
    expect((await append(upload.url, 0, half, digest("sha1", half))).status).toBe(204);
    const rest = body.subarray(20_000);
    const last = await append(upload.url, 20_000, rest, digest("sha256", rest));
    expect(last.headers.get("vautn-sha256")).toBe(hex(body));
    await send("DELETE", upload.url);
  });

  it("end where the whole is not what was announced", async () => {
    const upload = await create(4, `sha256 ${base64(hex(Buffer.from("good")))}`);
    const answer = await append(upload.url, 0, Buffer.from("evil"));
    expect([answer.status, answer.code]).toEqual([422, "image-mismatch"]);
    expect((await send("HEAD", upload.url)).status).toBe(404);
    expect(fs.existsSync(path.join(test.blobDirectory, "uploads", upload.id))).toBe(false);
  });

  it.each([
    ["another version", { "tus-resumable": "0.2.2" }, 412],
    ["no length", { "upload-length": "" }, 400],
    ["a length below zero", { "upload-length": "-1" }, 400],
    ["a length beyond all numbers", { "upload-length": "9".repeat(30) }, 400],
    ["a length beyond the limit", { "upload-length": "3000000000" }, 413],
    ["metadata without base64", { "upload-metadata": "filename a_b" }, 400],
    ["a key twice", { "upload-metadata": "a YQ==,a YQ==" }, 400],
    ["metadata without end", { "upload-metadata": `a ${"YQ".repeat(4_000)}` }, 400],
    ["a hash that is none", { "upload-metadata": `sha256 ${base64("../x")}` }, 400],
  ])("refuse %s", async (_what, headers, status) => {
    const answer = await send("POST", collection(), {
      headers: { "upload-length": "10", ...headers } as Record<string, string>,
    });
    expect(answer.status).toBe(status);
    expect(answer.headers.get("tus-version")).toBe("1.0.0");
  });

  it("refuse another offset, more than was announced, and bytes of another type", async () => {
    const upload = await create(10);
    expect((await append(upload.url, 5, Buffer.alloc(5))).code).toBe("upload-offset");
    expect((await append(upload.url, 0, Buffer.alloc(11))).code).toBe("payload-too-large");
    const json = await append(upload.url, 0, Buffer.from("hello"), {
      "content-type": "text/plain",
    });
    expect(json.status).toBe(415);
    expect((await send("HEAD", upload.url)).offset).toBe(0);
    await send("DELETE", upload.url);
    expect((await append(upload.url, 0, Buffer.alloc(5))).status).toBe(404);
  });

  it("keep what came when the line is cut, and take one writer at a time", async () => {
    const image = randomBytes(200_000);
    const upload = await create(image.length);
    const line = net.connect(Number(new URL(base).port), "127.0.0.1");
    const head = [
      `PATCH ${new URL(upload.url).pathname} HTTP/1.1`,
      "Host: x",
      `Authorization: Bearer ${test.acme}`,
      "Tus-Resumable: 1.0.0",
      "Upload-Offset: 0",
      `Content-Type: ${OFFSET_STREAM}`,
      `Content-Length: ${image.length}`,
    ];
    line.write(`${head.join("\r\n")}\r\n\r\n`);
    line.write(image.subarray(0, 70_000));
    const staged = path.join(test.blobDirectory, "uploads", upload.id);
    await until(() => fs.statSync(staged).size === 70_000);
    const second = await append(upload.url, 0, image);
    expect([second.status, second.code]).toEqual([423, "upload-locked"]);
    line.destroy();
    await until(async () => (await send("HEAD", upload.url)).offset === 70_000);
    await until(
      async () => (await append(upload.url, 70_000, image.subarray(70_000))).status === 204,
    );
    const view = await test.call("GET", `/tenants/acme/uploads/${upload.id}`);
    expect(view.body.sha256).toBe(hex(image));
    await send("DELETE", upload.url);
  });

  it("go on after their server was killed in the middle", async () => {
    const image = randomBytes(10 * 1024 ** 2);
    const upload = await create(image.length);
    const script = path.resolve(import.meta.dirname, "../support/upload-child.ts");
    const args = [script, test.appUrl, test.blobDirectory, "acme", upload.id];
    const child = spawn(process.execPath, args, { stdio: ["pipe", "ignore", "inherit"] });
    child.stdin.on("error", () => {}); // Its reader dies.
    child.stdin.write(image.subarray(0, 9 * 1024 ** 2));
    const offset = async () => (await send("HEAD", upload.url)).offset;
    await until(async () => (await offset()) >= 8 * 1024 ** 2);
    child.kill("SIGKILL");
    await once(child, "exit");
    const from = await offset();
    let last = await append(upload.url, from, image.subarray(from));
    // The dead writer's lease has to end first.
    while (last.status === 423) {
      await sleep(1_000);
      last = await append(upload.url, from, image.subarray(from));
    }
    expect([last.status, last.headers.get("vautn-sha256")]).toEqual([204, hex(image)]);
    await send("DELETE", upload.url);
  });

  it("keep what came before the line stands still, though nothing more comes", async () => {
    const upload = await create(1_000_000);
    const { port, pathname } = new URL(upload.url);
    const socket = net.connect(Number(port), "127.0.0.1");
    socket.write(
      `PATCH ${pathname} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer ${test.acme}\r\n` +
        `Tus-Resumable: 1.0.0\r\nUpload-Offset: 0\r\nContent-Type: ${OFFSET_STREAM}\r\n` +
        "Content-Length: 1000000\r\n\r\n",
    );
    socket.write(Buffer.alloc(300_000));
    // The connection lives, the request is under way, and its sender says no more.
    await until(async () => (await send("HEAD", upload.url)).offset === 300_000);
    expect(socket.destroyed).toBe(false);
    socket.destroy();
    await until(async () => (await send("DELETE", upload.url)).status === 204);
  });

  it("are gone on with by the next vautn firmware publish, where the first one was killed", async () => {
    const signed = await trustedRelease(test, "globex");
    const image = randomBytes(1_000_000);
    const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-publish-"));
    const [file, manifest] = ["hub.bin", "hub.json"].map((name) => path.join(folder, name));
    fs.writeFileSync(file as string, image);
    fs.writeFileSync(manifest as string, JSON.stringify(await signed(image, "7.0.0")));
    const line = await startLine(Number(new URL(base).port));
    const publish = () => {
      const argv = ["firmware", "publish", manifest as string, "--image", file as string];
      const entry = path.resolve(import.meta.dirname, "../../bin/vautn.mjs");
      return spawn(process.execPath, [entry, ...argv], {
        stdio: ["ignore", "ignore", "inherit"],
        env: {
          PATH: process.env.PATH,
          HOME: folder,
          VAUTN_URL: `http://127.0.0.1:${line.port}`,
          VAUTN_API_KEY: test.globex,
          VAUTN_TENANT: "globex",
        },
      });
    };
    line.stallAfter(600_000);
    const killed = publish();
    const arrived = async () =>
      (await test.modules.firmware.uploads.list("globex")).items[0]?.offsetBytes ?? 0;
    await until(async () => (await arrived()) >= 300_000);
    killed.kill("SIGKILL");
    await once(killed, "exit");
    line.cut();
    line.stallAfter(Number.POSITIVE_INFINITY);
    const [status] = await once(publish(), "exit");
    expect(status).toBe(0);
    // What the platform had was not sent again.
    expect(line.passed()).toBeLessThan(image.length - 300_000 + 50_000);
    const releases = await test.call("GET", "/tenants/globex/releases", { key: test.globex });
    expect(releases.body.items.map((one: { version: string }) => one.version)).toContain("7.0.0");
    await line.close();
    fs.rmSync(folder, { recursive: true, force: true });
  });

  it("take POST for another method where a client can send no other", async () => {
    const upload = await create(6);
    const as = (method: string, headers = {}, body?: Buffer, key = test.acme) =>
      send("POST", upload.url, {
        headers: { "x-http-method-override": method, ...headers },
        ...(body ? { body } : {}),
        key,
      });
    const half = await as("PATCH", { "upload-offset": "0" }, Buffer.from("abc"));
    expect([half.status, half.offset]).toEqual([204, 3]);
    expect((await as("HEAD")).offset).toBe(3);
    // It is what it says it is: nobody else's still, and no way to a method that there is not.
    const foreign = await as("PATCH", { "upload-offset": "3" }, Buffer.from("x"), test.globex);
    expect(foreign.status).toBe(404);
    for (const method of ["PUT", "patch", "GET", "PATCH, DELETE"]) {
      expect((await as(method, {}, Buffer.from("x"))).status, method).toBe(404);
    }
    const elsewhere = await send("POST", `${base}/api/v1/tenants/acme`, {
      headers: { "x-http-method-override": "DELETE" },
    });
    expect(elsewhere.status).toBe(404);
    expect((await as("DELETE")).status).toBe(204);
    expect((await as("HEAD")).status).toBe(404);
  });

  it("are nobody else's: other tenants, lower roles, strangers", async () => {
    const upload = await create(10);
    const foreign = `${collection("globex")}/${upload.id}`;
    for (const [url, key, status] of [
      [upload.url, test.globex, 404],
      [foreign, test.globex, 404],
      [upload.url, await test.keyOf("acme", "viewer"), 403],
      [upload.url, "vk_nobody", 401],
    ] as const) {
      const headers = { "upload-offset": "0" };
      expect((await send("HEAD", url, { key })).status).toBe(status);
      expect((await send("DELETE", url, { key })).status).toBe(status);
      expect((await send("PATCH", url, { key, headers, body: Buffer.alloc(10) })).status).toBe(
        status,
      );
    }
    expect((await send("HEAD", upload.url)).offset).toBe(0);
    for (const id of ["..%2f..%2fetc", "%2e%2e", "0".repeat(64)]) {
      expect((await send("HEAD", `${collection()}/${id}`)).status).toBe(404);
    }
    const whole = await test.call("POST", "/tenants/globex/releases/from-upload", {
      key: test.globex,
      body: { upload: upload.id, manifest: {} },
    });
    expect(whole.status).toBeGreaterThanOrEqual(400);
    await send("DELETE", upload.url);
  });

  it("are bounded by tenant in number and in bytes", async () => {
    const urls: string[] = [];
    for (let index = 0; index < 8; index += 1) {
      const { status, url } = await create(2 * 1024 ** 3, "", test.globex, "globex");
      expect(status).toBe(201);
      urls.push(url);
    }
    const ninth = await create(1, "", test.globex, "globex");
    expect([ninth.status, ninth.code]).toEqual([429, "quota-exceeded"]);
    for (const url of urls) await send("DELETE", url, { key: test.globex });
    for (let index = 0; index < 32; index += 1) {
      urls.push((await create(1, "", test.globex, "globex")).url);
    }
    expect((await create(1, "", test.globex, "globex")).code).toBe("quota-exceeded");
    for (const url of urls) await send("DELETE", url, { key: test.globex });
  });

  it("expire, with their bytes", async () => {
    const { uploads } = test.modules.firmware;
    const upload = await create(10);
    await append(upload.url, 0, Buffer.alloc(5));
    await test.modules.db.tenant("acme", (tx) =>
      tx
        .updateTable("uploads")
        .set({ expires_at: new Date(0) })
        .execute(),
    );
    const gone = await append(upload.url, 5, Buffer.alloc(5));
    expect([gone.status, gone.code]).toEqual([410, "upload-gone"]);
    const now = new Date();
    expect(await test.modules.db.tenantsWith("expired_uploads", now)).toEqual(["acme"]);
    expect(await uploads.expire("acme")).toBeGreaterThan(0);
    expect(fs.readdirSync(path.join(test.blobDirectory, "uploads"))).not.toContain(upload.id);
    expect((await send("HEAD", upload.url)).status).toBe(404);
  });

  it("stand in the audit log: begun, whole, ended, refused", async () => {
    const upload = await create(4);
    await append(upload.url, 9, Buffer.alloc(4));
    await append(upload.url, 0, Buffer.alloc(4));
    await send("DELETE", upload.url);
    const { body } = await test.call("GET", `/tenants/acme/audit?target=${upload.id}&limit=4`);
    expect(
      body.items.map((entry: { action: string; outcome: string }) => [entry.action, entry.outcome]),
    ).toEqual([
      ["upload.terminate", "done"],
      ["upload.complete", "done"],
      ["upload.append", "refused"],
      ["upload.create", "done"],
    ]);
  });

  it("leave nothing of a failed disk behind but where they stood", async () => {
    const upload = await create(10);
    fs.rmSync(path.join(test.blobDirectory, "uploads", upload.id));
    const { uploads } = test.modules.firmware;
    const content = (async function* () {
      yield Buffer.alloc(5);
    })();
    await uploads.append("acme", upload.id, { offset: 0, content }, SYSTEM_ACTOR);
    fs.rmSync(path.join(test.blobDirectory, "uploads", upload.id));
    const lost = await append(upload.url, 5, Buffer.alloc(5));
    expect(lost.code).toBe("upload-gone");
  });
});

/** A line to the server that stands still after so many bytes, with its connections alive. */
async function startLine(target: number) {
  const sockets = new Set<net.Socket>();
  let [limit, passed] = [Number.POSITIVE_INFINITY, 0];
  const server = net.createServer((client) => {
    const upstream = net.connect(target, "127.0.0.1");
    for (const socket of [client, upstream]) {
      sockets.add(socket);
      socket.on("error", () => {});
      socket.on("close", () => [client, upstream].forEach((end) => void end.destroy()));
    }
    upstream.pipe(client);
    client.on("data", (chunk) => {
      passed += chunk.length;
      upstream.write(chunk);
      if (passed >= limit) client.pause();
    });
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  return {
    port: (server.address() as net.AddressInfo).port,
    /** Counts from here on. */
    stallAfter(bytes: number) {
      [limit, passed] = [bytes, 0];
    },
    passed: () => passed,
    /** Ends what stands still: a paused socket does not see that its other end is gone. */
    cut() {
      for (const socket of sockets) socket.destroy();
      sockets.clear();
    },
    async close() {
      for (const socket of sockets) socket.destroy();
      server.close();
      await once(server, "close");
    },
  };
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  const deadline = Date.now() + 120_000;
  while (!(await holds())) {
    if (Date.now() > deadline) throw new Error("it did not come to hold");
    await sleep(30);
  }
}
