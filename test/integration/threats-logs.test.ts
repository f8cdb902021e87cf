import { encode } from "cborg";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { lineOf } from "../../src/cli/commands/logs.ts";
import { facts, table } from "../../src/cli/output.ts";
import type { LogLine } from "../../src/client/index.ts";
import { generateSigningKey } from "../../src/firmware/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { decodePayload } from "../../src/protocol/index.ts";
import { PASSWORD, startTestApi, type TestApi } from "../support/api.ts";

const FORGED =
  'ok\r\n{"level":60,"msg":"the fleet was deleted","vautn.tenant":"globex"}\n\u001b[2Jx';
const PEER = { tenantId: "acme", deviceId: "hub-1" };

/** A logger at its most talkative, and the lines that it has written. */
function talkativeLogger() {
  const lines: string[] = [];
  const destination = { write: (line: string) => void lines.push(line) };
  return { lines, logger: createLogger({ level: "trace", destination }) };
}

describe("line breaks and control characters from outside", () => {
  let test: TestApi;
  const { lines, logger } = talkativeLogger();
  beforeAll(async () => {
    test = await startTestApi({ logger });
    const body = { id: "hub-1", product: "hub", hardwareRevision: "a" };
    await test.call("POST", "/tenants/acme/devices", { body });
  });
  afterAll(() => test.close());

  it("make no line of their own in the platform's log, and none of another tenant", async () => {
    const { logs } = test.modules;
    logger.warn({ topic: FORGED, nested: { [FORGED]: FORGED } }, `refused: ${FORGED}`);
    const [line = ""] = lines.splice(0);
    expect(line.trimEnd().split(/[\r\n]/)).toHaveLength(1);
    // biome-ignore lint/suspicious/noControlCharactersInRegex: those are what is looked for
    expect(line.trimEnd()).not.toMatch(/[\x00-\x1f]/);
    await logs.recordPlatformLogs([line]);
    for (const tenant of ["acme", "globex"]) {
      expect((await logs.search(tenant, { limit: 10 })).items).toEqual([]);
    }
  });

  it("stay within the one line that a device wrote, from the store to the terminal", async () => {
    const { logs } = test.modules;
    const message = { ts: Date.now(), seq: 1, level: "info", message: FORGED, logger: FORGED };
    await logs.ingestDeviceLogs(PEER, [message], Date.now());
    const { items } = await logs.search("acme", { limit: 10 });
    expect(items).toHaveLength(1);
    expect(items[0]).toMatchObject({ message: FORGED, deviceId: "hub-1" });
    const shown = lineOf(items[0] as LogLine);
    expect(shown).not.toContain("\u001b");
    expect(shown).not.toContain("\r");
    // What follows a line break is moved in, so that it cannot pass for a line with a time.
    const [, ...rest] = shown.trimEnd().split("\n");
    for (const line of rest) expect(line).toMatch(/^ {4}/);
  });

  it("stay within their cell and their line where the command line prints them", () => {
    const value = "a\nb  FORGED";
    expect(
      table(["ID", "NAME"], [["1", value]])
        .trimEnd()
        .split("\n"),
    ).toHaveLength(2);
    expect(
      facts([["name", value]])
        .trimEnd()
        .split("\n"),
    ).toHaveLength(1);
  });

  it("are taken out of the audit log", async () => {
    const { audit } = test.modules.tenancy;
    await test.modules.db.tenant("acme", (tx) =>
      audit.record(tx, "acme", {
        actor: { kind: "user", id: FORGED, name: FORGED, address: FORGED },
        action: "device.update",
        targetKind: "device",
        targetId: FORGED,
        outcome: "refused",
      }),
    );
    const [entry] = (await audit.list("acme")).items;
    for (const text of [entry?.actor.id, entry?.actor.name, entry?.targetId, entry?.address]) {
      expect(text).not.toMatch(/\p{Cc}/u);
    }
    expect((await audit.verify("acme")).intact).toBe(true);
  });

  it("bring down nothing when they come as CBOR that JSON cannot say", async () => {
    const { logs, telemetry } = test.modules;
    const odd = { big: 2n ** 63n, bytes: Buffer.from("x"), deep: { list: [2n ** 60n] } };
    const line = { ts: Date.now(), seq: 2, level: "warn", message: "odd", attributes: odd };
    const event = { ts: Date.now(), seq: 3, type: "odd", ...odd };
    const payload = (value: unknown) => decodePayload(encode(value), "application/cbor");
    await logs.ingestDeviceLogs(PEER, payload([line]), Date.now());
    await telemetry.ingestEvents(PEER, payload(event), Date.now());
    const { items } = await logs.search("acme", { limit: 1, words: "odd" });
    expect(items[0]?.attributes).toMatchObject({ big: "9223372036854775808", bytes: "eA==" });
    const [stored] = await telemetry.events("acme", { deviceId: "hub-1", limit: 1 });
    expect(stored?.details).toMatchObject({ big: "9223372036854775808" });
  });
});

describe("secrets", () => {
  let test: TestApi;
  const { lines, logger } = talkativeLogger();
  beforeAll(async () => {
    test = await startTestApi({ logger });
  });
  afterAll(() => test.close());

  it("appear in no log line, audit entry, refusal or list, whatever is done with them", async () => {
    const secrets: string[] = [PASSWORD, test.adminKey, test.acme, test.globex];
    const post = (url: string, body: object) => test.call("POST", url, { body });
    const email = "carol@example.com";
    const person = await post("/api/v1/users", { email, name: "Carol", password: PASSWORD });
    const signedIn = await test.call("POST", "/auth/sign-in", {
      key: null,
      body: { email, password: PASSWORD },
    });
    secrets.push(String(signedIn.headers["set-cookie"]).match(/vs_[\w-]+/)?.[0] as string);
    await test.call("POST", "/auth/sign-in", {
      key: null,
      body: { email, password: `${PASSWORD}x` },
    });
    const password = "another long secret";
    secrets.push(password);
    await test.call("PUT", `/api/v1/users/${person.body.id}/password`, { body: { password } });
    const made = [
      (await post("/tenants/acme/keys", { name: "ci", role: "viewer" })).body.key,
      (await post("/auth/keys", { name: "mine" })).body.key,
      (await post("/tenants/acme/webhooks", { url: "https://example.com/" })).body.secret,
      (
        await post("/tenants/acme/claim-tokens", {
          name: "line",
          devicePattern: "*",
          product: "hub",
          hardwareRevision: "a",
          maxUses: 1,
          expiresAt: "2099-01-01T00:00:00Z",
        })
      ).body.token,
    ];
    const stream = { url: "https://siem.example.com/", fromStart: false };
    made.push((await post("/tenants/acme/audit-streams", stream)).body.secret);
    for (const secret of made) expect(secret).toMatch(/^(vk_|whsec_|vct_)/);
    secrets.push(...made);
    // Those that are kept sealed, because somebody else wants to see them again.
    const [clientSecret, routingKey] = ["client-secret-of-corp", "routing0key0of0pagerduty"];
    secrets.push(clientSecret, routingKey);
    const corp = { id: "corp", name: "Corp", issuer: "https://id.example.com", clientId: "vautn" };
    const kept = [
      await post("/api/v1/sign-in-providers", { ...corp, clientSecret }),
      await post("/tenants/acme/alert-channels", {
        ...{ name: "pager", kind: "pagerduty", settings: {}, secret: routingKey },
      }),
    ];
    expect(kept.map(({ status }) => status)).toEqual([201, 201]);
    const { privateKeyPem } = generateSigningKey({});
    // Sent where it does not belong: what refuses it must not say it again.
    for (const secret of [...made, PASSWORD]) {
      await test.call("GET", "/auth/whoami", { key: `${secret}x` });
      await post("/tenants/acme/devices", {
        id: "x",
        product: "x",
        hardwareRevision: "a",
        csr: privateKeyPem,
      });
    }
    logger.info(
      { password: PASSWORD, request: { headers: { authorization: test.acme, cookie: "x" } } },
      "what a careless line would hold",
    );
    const pages = await Promise.all(
      [
        ...["keys", "webhooks", "claim-tokens", "audit", "users", "audit-streams"],
        ...["alert-channels", "service-accounts"],
      ].map((list) => test.call("GET", `/tenants/acme/${list}`)),
    );
    pages.push(...kept, await test.call("GET", "/api/v1/sign-in-providers"));
    pages.push(await test.call("GET", "/api/v1/audit"), await test.call("GET", "/auth/keys"));
    const { modules } = test;
    const audited = await Promise.all(
      ["acme", "_platform"].map((chain) => modules.tenancy.audit.list(chain, { limit: 500 })),
    );
    const everything = lines.join("") + JSON.stringify([pages, audited]);
    expect(everything.length).toBeGreaterThan(5_000);
    for (const secret of [...secrets, "PRIVATE KEY"]) {
      expect(everything.includes(secret), secret.slice(0, 12)).toBe(false);
    }
  });
});
