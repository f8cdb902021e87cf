import http from "node:http";
import net, { type AddressInfo } from "node:net";
import tls from "node:tls";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createAuditStreams, SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { startTestApi, type TestApi } from "../support/api.ts";
import { forge } from "../support/pki.ts";

let test: TestApi;
const closers: (() => void)[] = [];
beforeAll(async () => {
  test = await startTestApi();
});
afterAll(async () => {
  for (const close of closers) close();
  await test.close();
});

const add = (body: object, tenant = "acme") =>
  test.call("POST", `/tenants/${tenant}/audit-streams`, { body });
const streams = async () => (await test.call("GET", "/tenants/acme/audit-streams")).body.items;
const write = (name: string) =>
  test.call("POST", "/tenants/acme/groups", { body: { name, query: "" } });
const remove = (id: string) => test.call("DELETE", `/tenants/acme/audit-streams/${id}`);
const due = () =>
  test.modules.db.tenant("acme", (tx) =>
    tx
      .updateTable("audit_streams")
      .set({ next_attempt_at: new Date(0) })
      .execute(),
  );

async function listening(server: net.Server | http.Server): Promise<number> {
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  closers.push(() => server.close());
  return (server.address() as AddressInfo).port;
}

/** Messages by octet counting (RFC 6587 §3.4.1), as a syslog server takes them apart. */
function frames(bytes: Buffer): string[] {
  const found: string[] = [];
  for (let at = 0; at < bytes.length; ) {
    const blank = bytes.indexOf(0x20, at);
    const length = Number(bytes.toString("ascii", at, blank));
    found.push(bytes.toString("utf8", blank + 1, blank + 1 + length));
    at = blank + 1 + length;
  }
  return found;
}

describe("an audit log that is streamed", () => {
  it("reaches a webhook signed, in order, each entry at least once, also after failures", async () => {
    const received: { id: string; seqs: number[] }[] = [];
    let secret = "";
    let fails = 0;
    const server = http.createServer((request, response) => {
      let body = "";
      request.on("data", (chunk) => {
        body += chunk;
      });
      request.on("end", () => {
        if (fails > 0) {
          fails -= 1;
          response.writeHead(503).end();
          return;
        }
        const event = new Webhook(secret).verify(body, request.headers as never) as {
          id: string;
          data: { entries: { seq: number }[] };
        };
        received.push({ id: event.id, seqs: event.data.entries.map(({ seq }) => seq) });
        response.writeHead(204).end();
      });
    });
    const port = await listening(server);
    const made = await add({ url: `http://127.0.0.1:${port}/`, fromStart: true });
    expect(made.status, JSON.stringify(made.body)).toBe(201);
    secret = made.body.secret;
    await write("one");
    await test.modules.auditStreams.deliverDue("acme");
    fails = 1;
    await write("two");
    await test.modules.auditStreams.deliverDue("acme");
    expect(await streams()).toMatchObject([
      { attempts: 1, lastError: "the receiver answered 503" },
    ]);
    // Not before its time.
    expect(await test.modules.auditStreams.deliverDue("acme")).toBe(0);
    await due();
    await test.modules.auditStreams.deliverDue("acme");
    const seqs = received.flatMap((one) => one.seqs);
    expect(seqs).toEqual(seqs.map((_, index) => index + 1));
    const [stream] = await streams();
    expect(stream).toMatchObject({ attempts: 0, lastError: null, seq: seqs.length });
    // A process that died after the receiver took it sends the same batch under the same id.
    await test.modules.db.tenant("acme", (tx) =>
      tx
        .updateTable("audit_streams")
        .set({ seq: 0, next_attempt_at: new Date(0) })
        .execute(),
    );
    await test.modules.auditStreams.deliverDue("acme");
    expect(received.at(-1)?.seqs).toEqual(seqs);
    expect((await remove(made.body.id)).status).toBe(204);
  });

  it.each(["tcp", "tls"] as const)("reaches a syslog server over %s in RFC 5424", async (kind) => {
    const taken: Buffer[] = [];
    const take = (socket: net.Socket) => {
      const chunks: Buffer[] = [];
      socket.on("data", (chunk) => chunks.push(chunk as Buffer));
      socket.on("error", () => undefined);
      socket.on("end", () => {
        taken.push(Buffer.concat(chunks));
        socket.end();
      });
    };
    const own = await forge({ subject: "CN=syslog", authority: true, dns: ["localhost"] });
    const credentials = { key: own.keyPem, cert: own.certificatePem, allowHalfOpen: true };
    const server =
      kind === "tcp"
        ? net.createServer({ allowHalfOpen: true }, take)
        : tls.createServer(credentials, take);
    const port = await listening(server);
    const url = `syslog+${kind}://localhost:${port}`;
    if (kind === "tls") {
      // A certificate that no authority of the system has signed is not believed.
      const distrusting = await add({ url, fromStart: true });
      await test.modules.auditStreams.deliverDue("acme");
      expect((await streams())[0].lastError).toMatch(/self-signed certificate/);
      expect(Buffer.concat(taken).length).toBe(0);
      await remove(distrusting.body.id);
    }
    const made = await add({
      url,
      ...(kind === "tls" ? { authorityPem: own.certificatePem } : {}),
    });
    expect(made.body.secret).toBeNull();
    await write(`by-${kind}`);
    await test.modules.auditStreams.deliverDue("acme");
    const [message = ""] = frames(Buffer.concat(taken));
    expect(message).toMatch(
      /^<110>1 \d{4}-\d\d-\d\dT[\d:.]+Z vautn\.example vautn - group\.create \[vautn@32473 tenant="acme" seq="\d+" /,
    );
    expect(message).toContain("\uFEFF{");
    expect((await streams())[0]).toMatchObject({ attempts: 0, lastError: null });
    await remove(made.body.id);
  });

  it("goes to no private address and to nothing that is no place to send to", async () => {
    const guarded = createAuditStreams({
      ...test.modules,
      ...{ allowPrivateAddresses: false, publicHost: "vautn.example" },
      resolve: async () => [{ address: "169.254.169.254", family: 4 }],
    });
    for (const url of [
      "http://169.254.169.254/",
      "syslog+tcp://127.0.0.1:514",
      "syslog+tls://[::1]:6514",
      "syslog+tcp://10.0.0.1:514",
      "syslog+tcp://syslog.example.com",
      "syslog+udp://syslog.example.com:514",
      "syslog+tcp://u:p@syslog.example.com:514",
      "syslog+tcp://syslog.example.com:514/x",
      "file:///etc/passwd",
    ]) {
      const made = guarded.create("acme", { url }, SYSTEM_ACTOR);
      await expect(made, url).rejects.toMatchObject({ code: "invalid-request" });
    }
    for (const url of ["syslog+tcp://inside.example.com:514", "https://inside.example.com/"]) {
      const { id } = await guarded.create("acme", { url, fromStart: true }, SYSTEM_ACTOR);
      await guarded.deliverDue("acme");
      const [stream] = await guarded.list("acme");
      expect(stream?.lastError).toMatch(/private, loopback or link-local/);
      await guarded.remove("acme", id, SYSTEM_ACTOR);
    }
    const foreign = await add({ url: "https://example.com/" }, "globex");
    const key = { key: test.acme };
    const path = `/tenants/acme/audit-streams/${foreign.body.id}`;
    expect((await test.call("DELETE", path, key)).status).toBe(404);
  });
});
