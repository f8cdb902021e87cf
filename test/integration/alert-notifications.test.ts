import "reflect-metadata";
import { once } from "node:events";
import http from "node:http";
import type { AddressInfo } from "node:net";
import tls from "node:tls";
import * as x509 from "@peculiar/x509";
import { sql } from "kysely";
import { SMTPServer } from "smtp-server";
import { Webhook } from "standardwebhooks";
import { afterAll, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { type Alerts, type AlertsDeps, createAlerts } from "../../src/alerts/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const actor = { kind: "user" as const, id: "u-1", name: "Ada" };
const silence = { key: "k", severity: "warning" as const, subjectKind: "device" };
const offline = (device: string, labels: Record<string, string> = {}) => ({
  ...{ ...silence, key: `presence:${device}`, kind: "device-offline", subjectId: device, labels },
  title: `${device} is offline`,
});

interface Received {
  url: string;
  headers: http.IncomingHttpHeaders;
  // biome-ignore lint/suspicious/noExplicitAny: what a receiver got
  body: any;
  raw: string;
}

/** A certificate of 127.0.0.1 that vouches for itself. */
async function mailCertificate(): Promise<{ key: string; cert: string }> {
  const algorithm = { name: "ECDSA", namedCurve: "P-256", hash: "SHA-256" };
  const keys = await crypto.subtle.generateKey(algorithm, true, ["sign", "verify"]);
  const certificate = await x509.X509CertificateGenerator.createSelfSigned({
    ...{ name: "CN=mail", keys, signingAlgorithm: algorithm },
    notAfter: new Date(Date.now() + 86_400_000),
    extensions: [
      new x509.BasicConstraintsExtension(true, undefined, true),
      new x509.SubjectAlternativeNameExtension([{ type: "ip", value: "127.0.0.1" }]),
    ],
  });
  const der = await crypto.subtle.exportKey("pkcs8", keys.privateKey);
  return { key: x509.PemConverter.encode(der, "PRIVATE KEY"), cert: certificate.toString("pem") };
}

describe("who is told of alerts", () => {
  let test: TestDatabase;
  let server: http.Server;
  let mail: SMTPServer;
  let base: string;
  let mailPort: number;
  let status = 200;
  const received: Received[] = [];
  const letters: string[] = [];
  let mailRefusal: Error | null = null;
  let whenMailed: () => Promise<void>;
  const clock = new VirtualClock(Date.now());

  const alertsWith = (changes: Partial<AlertsDeps> = {}): Alerts =>
    createAlerts({
      ...{ db: test.db, clock, bus: new LocalBus(), sealer: createSealer(Buffer.alloc(32, 7)) },
      logger: createLogger({ level: "silent" }),
      allowPrivateAddresses: true,
      consoleUrl: "https://console.example",
      ...changes,
    });
  let alerts: Alerts;

  /** What the worker does in a while, time passing in steps of a few seconds. */
  const pass = async (seconds: number, some = alerts) => {
    const step = seconds > 150 ? 30 : 5;
    for (let left = seconds; left >= 0; left -= step) {
      await some.dispatch("acme");
      await some.flush("acme");
      await some.notifyDue("acme");
      if (left > 0) await clock.advance(Math.min(step, left) * 1_000);
    }
  };

  beforeAll(async () => {
    test = await createTestDatabase();
    server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        const raw = Buffer.concat(chunks).toString();
        const { url = "", headers } = request;
        received.push({ url, headers, raw, body: JSON.parse(raw) });
        response.writeHead(status).end();
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
    mail = new SMTPServer({
      authOptional: true,
      disabledCommands: ["STARTTLS"],
      allowInsecureAuth: true,
      onAuth: ({ username, password }, _session, done) =>
        username === "ops" && password === "mail secret"
          ? done(null, { user: username })
          : done(new Error("wrong password")),
      onRcptTo: (_address, _session, done) => (mailRefusal ? done(mailRefusal) : done()),
      onData(stream, _session, done) {
        const chunks: Buffer[] = [];
        stream.on("data", (chunk: Buffer) => chunks.push(chunk));
        stream.on("end", () => {
          letters.push(Buffer.concat(chunks).toString());
          void whenMailed().then(() => done());
        });
      },
    });
    await new Promise<void>((resolve) => mail.listen(0, "127.0.0.1", resolve));
    mailPort = (mail.server.address() as AddressInfo).port;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await new Promise<void>((resolve) => mail.close(() => resolve()));
    await test.close();
  });
  beforeEach(async () => {
    await test.db.platform(async (tx) => {
      for (const id of ["acme", "globex"]) {
        const row = { id, name: id, created_at: new Date() };
        await tx
          .insertInto("tenants")
          .values(row)
          .onConflict((on) => on.doNothing())
          .execute();
      }
    });
    for (const tenant of ["acme", "globex"]) {
      await test.db.tenant(tenant, async (tx) => {
        await tx.deleteFrom("alert_groups").execute();
        await tx.deleteFrom("alerts").execute();
        await tx.deleteFrom("alert_channels").execute();
        await tx.deleteFrom("alert_silences").execute();
        await tx.deleteFrom("alert_policies").execute();
      });
    }
    alerts = alertsWith();
    received.length = 0;
    letters.length = 0;
    mailRefusal = null;
    whenMailed = async () => {};
    status = 200;
  });

  const webhook = (name = "hook") =>
    alerts.channels.create(
      "acme",
      { name, kind: "webhook", settings: { url: `${base}/${name}` } },
      actor,
    );
  const said = (path: string) => received.filter(({ url }) => url === path);

  it("are told of a thousand alerts of one kind by one message, after the group's wait", async () => {
    const { secret } = await webhook();
    for (let at = 0; at < 60; at += 1) await alerts.raise("acme", offline(`hub-${at}`));
    await pass(25);
    expect(received).toEqual([]);
    await pass(10);
    expect(received).toHaveLength(1);
    const [message] = received as [Received];
    expect(message.body).toMatchObject({
      type: "vautn.alert.notification",
      data: { status: "firing", groupLabels: { kind: "device-offline" }, truncatedAlerts: 10 },
    });
    const headers = message.headers as Record<string, string>;
    new Webhook(secret as string).verify(message.raw, headers);
  });

  it("hear of what is new in a group after its interval, of an end at once, and of neither twice", async () => {
    await webhook();
    await alerts.raise("acme", offline("hub-1"));
    await pass(35);
    await alerts.raise("acme", offline("hub-2"));
    await pass(120);
    expect(received).toHaveLength(1);
    await pass(200);
    expect(received).toHaveLength(2);
    await alerts.resolve("acme", "presence:hub-1");
    await pass(5);
    expect(received).toHaveLength(3);
    expect(received[2]?.body.data).toMatchObject({ status: "firing" });
    await alerts.resolve("acme", "presence:hub-2");
    await pass(700);
    expect(received.map(({ body }) => body.data.status)).toEqual([
      ...["firing", "firing", "firing", "resolved"],
    ]);
  });

  it("are not told while a silence lasts, and are when it is ended", async () => {
    await webhook();
    const soon = new Date(clock.now() + 3_600_000);
    const hush = { matchers: ['device=~"hub-.*"'], endsAt: soon, comment: "works on the mast" };
    const { id } = await alerts.silences.create("acme", hush, actor);
    const raised = await alerts.raise("acme", offline("hub-1"));
    await pass(60);
    expect(received).toEqual([]);
    expect((await alerts.get("acme", raised.id)).mutedBy).toEqual({ by: "silence", of: id });
    await alerts.silences.expire("acme", id, actor);
    await pass(5);
    expect(received).toHaveLength(1);
  });

  it("hear of a silent fleet and not of each of its devices", async () => {
    await webhook();
    for (let at = 0; at < 20; at += 1) await alerts.raise("acme", offline(`hub-${at}`));
    const fleet = { ...silence, kind: "devices-offline", subjectId: "fleet", title: "silent" };
    await alerts.raise("acme", fleet);
    await pass(60);
    expect(received).toHaveLength(1);
    expect(received[0]?.body.data.groupLabels).toEqual({ kind: "devices-offline" });
  });

  it("are called one after the other until somebody acknowledges", async () => {
    for (const name of ["chat", "pager", "boss"]) await webhook(name);
    const escalation = [
      { afterSeconds: 120, channels: ["pager"] },
      { afterSeconds: 240, channels: ["boss"] },
    ];
    await alerts.policy.replace("acme", { default: { channels: ["chat"], escalation } }, actor);
    const { id } = await alerts.raise("acme", offline("hub-1"));
    await pass(130);
    expect([said("/chat"), said("/pager"), said("/boss")].map((one) => one.length)).toEqual([
      1, 1, 0,
    ]);
    expect(said("/pager")[0]?.body.data.escalation).toBe(1);
    await alerts.acknowledge("acme", id, actor);
    await pass(600);
    expect(said("/boss")).toEqual([]);
    expect(said("/chat").at(-1)?.body.data.acknowledged).toBe(true);
    expect(said("/pager").at(-1)?.body.data.acknowledged).toBe(true);
    expect((await alerts.history("acme", id)).map(({ what }) => what)).toEqual([
      ...["opened", "notified", "escalated", "acknowledged", "notified"],
    ]);
    // Who was called before is told of the end, and who was not is not.
    await alerts.resolve("acme", "presence:hub-1");
    await pass(5);
    expect(said("/pager").at(-1)?.body.data).toMatchObject({
      status: "resolved",
      externalURL: "https://console.example/t/acme/alerts",
    });
    expect(said("/boss")).toEqual([]);
  });

  it("hear it once at least and never twice by another id, though the worker dies in between", async () => {
    await webhook();
    await alerts.raise("acme", offline("hub-1"));
    await clock.advance(31_000);
    // Dies after each step; another process goes on from what is in the database.
    await alertsWith().dispatch("acme");
    await clock.advance(31_000);
    await alertsWith().flush("acme");
    await alertsWith().flush("acme");
    // One takes the message and dies before it has sent it: the lease brings it up again.
    await test.db.tenant("acme", (tx) =>
      tx
        .updateTable("alert_deliveries")
        .set({ attempts: 1, next_attempt_at: new Date(clock.now() + 120_000) })
        .execute(),
    );
    await pass(60);
    expect(received).toEqual([]);
    await pass(120);
    expect(received).toHaveLength(1);
    // A receiver that fails gets the same id again.
    status = 503;
    await alerts.resolve("acme", "presence:hub-1");
    await pass(10);
    status = 200;
    await pass(60);
    const ids = received.map(({ headers }) => headers["webhook-id"]);
    expect(new Set(ids).size).toBe(2);
    expect(ids.length).toBeGreaterThan(2);
  });

  it("by PagerDuty have one incident from trigger over acknowledge to resolve", async () => {
    const settings = { url: `${base}/v2/enqueue` };
    const routingKey = "R0123456789ABCDEF0123456789ABCDE";
    const channel = { name: "pd", kind: "pagerduty" as const, settings, secret: routingKey };
    await alerts.channels.create("acme", channel, actor);
    const { id } = await alerts.raise("acme", { ...offline("hub-1"), severity: "critical" });
    await pass(35);
    await alerts.acknowledge("acme", id, actor);
    await pass(5);
    await alerts.resolve("acme", "presence:hub-1");
    await pass(5);
    expect(received.map(({ body }) => body.event_action)).toEqual([
      ...["trigger", "acknowledge", "resolve"],
    ]);
    expect(new Set(received.map(({ body }) => body.dedup_key)).size).toBe(1);
    expect(received[0]?.body).toMatchObject({
      routing_key: routingKey,
      payload: { severity: "critical", source: "acme", summary: "[FIRING] hub-1 is offline" },
    });
  });

  it("by Slack read text that rings nobody's bell", async () => {
    const channel = { name: "slack", kind: "slack" as const, settings: {} };
    await alerts.channels.create("acme", { ...channel, secret: `${base}/services/T0/B0/x` }, actor);
    await alerts.raise("acme", { ...offline("hub-1"), title: "<!channel> & co" });
    await pass(35);
    expect(said("/services/T0/B0/x")[0]?.body).toMatchObject({
      text: "[FIRING] &lt;!channel&gt; &amp; co",
      attachments: [{ color: "#bf8700", title_link: "https://console.example/t/acme/alerts" }],
    });
  });

  it("by e-mail get a letter through a real mail server, with the same id in each attempt", async () => {
    const smtp = { host: "127.0.0.1", port: mailPort, security: "none" as const, username: "ops" };
    const settings = { to: ["ops@example.com"], from: "vautn@example.com", smtp };
    await alerts.channels.create(
      "acme",
      { name: "mail", kind: "email", settings, secret: "mail secret" },
      actor,
    );
    mailRefusal = Object.assign(new Error("try later"), { responseCode: 451 });
    await alerts.raise("acme", { ...offline("hub-1"), title: "hub-1\r\nBcc: x@example.com" });
    await pass(30);
    expect(letters).toEqual([]);
    mailRefusal = null;
    await pass(10);
    expect(letters).toHaveLength(1);
    expect(letters[0]).toContain("To: ops@example.com");
    expect(letters[0]).toContain("Auto-Submitted: auto-generated");
    expect(letters[0]).toMatch(/^Subject: \[FIRING\] hub-1 Bcc: x@example.com/m);
    expect(letters[0]).not.toMatch(/^\W*Bcc:/m);
    const [channel] = await alerts.channels.list("acme");
    const [delivery] = await alerts.channels.deliveries("acme", channel?.id ?? "");
    expect(delivery).toMatchObject({ status: "delivered", attempts: 2, lastStatus: 250 });
    expect(letters[0]).toContain(`Message-ID: <${delivery?.id}@example.com>`);
  });

  it("read each letter once where the mail server takes long, though another worker looks as well", async () => {
    const smtp = { host: "127.0.0.1", port: mailPort, security: "none" as const };
    const settings = { to: ["ops@example.com"], from: "vautn@example.com", smtp };
    await alerts.channels.create("acme", { name: "mail", kind: "email", settings }, actor);
    for (let at = 0; at < 11; at += 1) {
      await alerts.raise("acme", { ...offline("hub"), key: `k-${at}`, kind: `kind-${at}` });
    }
    await alerts.dispatch("acme");
    await clock.advance(31_000);
    await alerts.flush("acme");
    let isOtherBusy = false;
    whenMailed = async () => {
      await clock.advance(14_000);
      if (isOtherBusy) return;
      isOtherBusy = true;
      await alertsWith().notifyDue("acme");
      isOtherBusy = false;
    };
    for (let turn = 0; turn < 40 && letters.length < 11; turn += 1) {
      await alerts.notifyDue("acme");
      await clock.advance(1_000);
    }
    const ids = letters.map((letter) => /^Message-ID: (.*)$/im.exec(letter)?.[1]);
    expect(new Set(ids).size).toBe(11);
    expect(ids).toHaveLength(11);
  });

  describe("by e-mail over STARTTLS", () => {
    const password = "mail secret";
    /** What a mail server was told before and after its line was encrypted. */
    const mailServer = async (options: ConstructorParameters<typeof SMTPServer>[0]) => {
      const seen: { user: string; secure: boolean }[] = [];
      const got: string[] = [];
      const server = new SMTPServer({
        authOptional: true,
        allowInsecureAuth: true,
        onAuth: ({ username = "" }, { secure }, done) => {
          seen.push({ user: username, secure });
          done(null, { user: username });
        },
        onData(stream, _session, done) {
          stream.resume().on("end", () => {
            got.push("letter");
            done();
          });
        },
        ...options,
      });
      // A client that does not trust the certificate ends the connection, which is an error here.
      server.on("error", () => undefined);
      await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
      const { port } = server.server.address() as AddressInfo;
      const close = () => new Promise<void>((resolve) => server.close(() => resolve()));
      return { port, seen, got, close };
    };
    const tryMail = async (port: number) => {
      const smtp = { host: "127.0.0.1", port, security: "starttls" as const, username: "ops" };
      const settings = { to: ["ops@example.com"], from: "vautn@example.com", smtp };
      const channel = { name: "mail", kind: "email" as const, settings, secret: password };
      const { id } = await alerts.channels.create("acme", channel, actor);
      return alerts.channels.test("acme", id, actor);
    };

    it("say nothing to a server that offers none, or whose offer was stripped", async () => {
      const plain = await mailServer({ disabledCommands: ["STARTTLS"] });
      const outcome = await tryMail(plain.port);
      expect(outcome).toMatchObject({ status: "failed" });
      expect(outcome.lastError).toMatch(/mail server.*STARTTLS|TLS/i);
      expect(JSON.stringify(outcome)).not.toContain(password);
      expect([plain.seen, plain.got]).toEqual([[], []]);
      await plain.close();
    });

    it("sign in at one with a certificate that is trusted, and at no other", async () => {
      const credentials = await mailCertificate();
      const encrypted = await mailServer(credentials);
      const refused = await tryMail(encrypted.port);
      expect(refused.status).toBe("failed");
      expect(refused.lastError).toMatch(/certificate/i);
      expect([encrypted.seen, encrypted.got]).toEqual([[], []]);
      await test.db.tenant("acme", (tx) => tx.deleteFrom("alert_channels").execute());
      const usual = tls.getCACertificates("default");
      tls.setDefaultCACertificates([...usual, credentials.cert]);
      try {
        expect(await tryMail(encrypted.port)).toMatchObject({
          status: "delivered",
          lastStatus: 250,
        });
      } finally {
        tls.setDefaultCACertificates(usual);
      }
      expect(encrypted.seen).toEqual([{ user: "ops", secure: true }]);
      expect(encrypted.got).toHaveLength(1);
      await encrypted.close();
    });
  });

  it("wait for nobody who does not answer, however much is to be said there", async () => {
    const dead = http.createServer().listen(0, "127.0.0.1");
    await once(dead, "listening");
    const url = `http://127.0.0.1:${(dead.address() as AddressInfo).port}/`;
    dead.close();
    const { id } = await alerts.channels.create(
      "acme",
      { name: "dead", kind: "webhook", settings: { url } },
      actor,
    );
    await webhook();
    for (const kind of ["a", "b", "c"]) {
      await alerts.raise("acme", { ...offline(`hub-${kind}`), kind });
    }
    for (let turn = 0; turn < 20 && said("/hook").length < 3; turn += 1) await pass(5);
    expect(said("/hook")).toHaveLength(3);
    const waiting = await alerts.channels.deliveries("acme", id);
    // Of those only the first was tried, and all of them wait for its next attempt.
    expect(waiting.map(({ attempts }) => attempts).sort()).toEqual([0, 0, 1]);
    expect(new Set(waiting.map(({ nextAttemptAt }) => Number(nextAttemptAt))).size).toBe(1);
    expect(waiting.map(({ status }) => status)).toEqual(["pending", "pending", "pending"]);
    // Far more than one turn takes, and older than what others are to be told.
    await test.db.tenant("acme", (tx) =>
      sql`insert into alert_deliveries
            (tenant_id, id, channel_id, notification, status, next_attempt_at, created_at)
          select tenant_id, gen_random_uuid(), channel_id, notification, 'pending',
                 ${new Date(clock.now() - 60_000)}, ${new Date(clock.now() - 60_000)}
          from alert_deliveries, generate_series(1, 60)
          where channel_id = ${id}::uuid and attempts = 1`.execute(tx),
    );
    await alerts.raise("acme", { ...offline("hub-d"), kind: "d" });
    await clock.advance(31_000);
    await alerts.dispatch("acme");
    await clock.advance(31_000);
    await alerts.flush("acme");
    await alerts.notifyDue("acme");
    expect(said("/hook")).toHaveLength(4);
  });

  it("count among what is open only what people are told of", async () => {
    await alerts.raise("acme", offline("hub-1"));
    await alerts.raise("acme", offline("hub-2"));
    expect(await alerts.countOpen("acme")).toBe(2);
    const endsAt = new Date(clock.now() + 3_600_000);
    const hush = { matchers: ['device="hub-1"'], endsAt, comment: "works on the mast" };
    const { id } = await alerts.silences.create("acme", hush, actor);
    expect(await alerts.countOpen("acme")).toBe(1);
    await alerts.silences.expire("acme", id, actor);
    expect(await alerts.countOpen("acme")).toBe(2);
  });

  it("see what came of a test, and never a secret again", async () => {
    const made = await webhook();
    status = 404;
    const failed = await alerts.channels.test("acme", made.id, actor);
    expect(failed).toMatchObject({ status: "failed", lastStatus: 404, attempts: 1 });
    status = 200;
    const passed = await alerts.channels.test("acme", made.id, actor);
    expect(passed).toMatchObject({ status: "delivered", lastError: null });
    expect(JSON.stringify(await alerts.channels.list("acme"))).not.toContain("whsec_");
  });

  it("are reached at public addresses only, whatever a name resolves to by then", async () => {
    const guarded = alertsWith({
      allowPrivateAddresses: false,
      resolve: async () => [{ address: "169.254.169.254", family: 4 }],
    });
    const create = (channel: Parameters<Alerts["channels"]["create"]>[1]) =>
      guarded.channels.create("acme", channel, actor);
    await expect(
      create({ name: "a", kind: "webhook", settings: { url: "http://10.0.0.1/" } }),
    ).rejects.toMatchObject({ code: "invalid-request" });
    await expect(
      create({ name: "b", kind: "slack", settings: {}, secret: "http://[::1]/" }),
    ).rejects.toMatchObject({ code: "invalid-request" });
    const smtp = { host: "mail.example", port: 25, security: "none" as const };
    const mailTo = await create({ name: "c", kind: "email", settings: { to: ["a@b.cd"], smtp } });
    const hook = await create({
      name: "d",
      kind: "webhook",
      settings: { url: "http://a.example/" },
    });
    for (const { id } of [mailTo, hook]) {
      const { lastError } = await guarded.channels.test("acme", id, actor);
      expect(lastError).toContain("private, loopback or link-local");
    }
  });

  it("keep a secret that would go to somebody else's server from going there", async () => {
    const settings = { url: `${base}/v2/enqueue` };
    const secret = "R0123456789ABCDEF0123456789ABCDE";
    const pd = { name: "pd", kind: "pagerduty" as const, settings, secret };
    const { id } = await alerts.channels.create("acme", pd, actor);
    await expect(
      alerts.channels.update("acme", id, { name: "pd", settings: { url: `${base}/thief` } }),
    ).rejects.toMatchObject({ details: { errors: [{ path: "/secret" }] } });
  });

  it("cannot lose a channel that the policy names, and a policy cannot name one that is not", async () => {
    const { id } = await webhook();
    await alerts.policy.replace("acme", { default: { channels: ["hook"] } }, actor);
    await expect(alerts.channels.delete("acme", id)).rejects.toMatchObject({ code: "conflict" });
    const routes = [{ name: "x", matchers: ["("], channels: ["none"] }];
    await expect(alerts.policy.replace("acme", { routes }, actor)).rejects.toMatchObject({
      details: { errors: [{ path: "/routes/0/matchers/0" }, { path: "/routes/0/channels/0" }] },
    });
  });
});
