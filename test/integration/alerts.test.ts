import http from "node:http";
import type { AddressInfo } from "node:net";
import { Webhook } from "standardwebhooks";
import { afterAll, afterEach, beforeAll, describe, expect, it } from "vitest";
import { type Alerts, type AlertsDeps, createAlerts } from "../../src/alerts/index.ts";
import { LocalBus } from "../../src/bus/index.ts";
import { isAppError, VirtualClock } from "../../src/kernel/index.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";

const actor = { kind: "user" as const, id: "u-1", name: "Ada" };
const report = {
  key: "rollout:1",
  kind: "rollout-paused",
  severity: "critical" as const,
  title: "Rollout 1 was paused",
  subjectKind: "rollout",
  subjectId: "1",
  details: { rule: "canary-failure" },
};

interface Received {
  headers: http.IncomingHttpHeaders;
  body: string;
  url: string;
}

describe("alerts and webhooks", () => {
  let test: TestDatabase;
  let server: http.Server;
  let base: string;
  const received: Received[] = [];
  let respond: (response: http.ServerResponse) => void;
  const clock = new VirtualClock(Date.now());
  const bus = new LocalBus();

  const alertsWith = (changes: Partial<AlertsDeps> = {}): Alerts =>
    createAlerts({
      db: test.db,
      clock,
      bus,
      sealer: createSealer(Buffer.alloc(32, 7)),
      logger: createLogger({ level: "silent" }),
      allowPrivateAddresses: true,
      ...changes,
    });

  beforeAll(async () => {
    test = await createTestDatabase();
    for (const id of ["acme", "globex"]) {
      await test.db.platform((tx) =>
        tx.insertInto("tenants").values({ id, name: id, created_at: new Date() }).execute(),
      );
    }
    server = http.createServer((request, response) => {
      const chunks: Buffer[] = [];
      request.on("data", (chunk) => chunks.push(chunk));
      request.on("end", () => {
        const body = Buffer.concat(chunks).toString();
        received.push({ headers: request.headers, body, url: request.url ?? "" });
        respond(response);
      });
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    base = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(async () => {
    server.closeAllConnections();
    await new Promise((resolve) => server.close(resolve));
    await test.close();
  });
  afterEach(async () => {
    received.length = 0;
    respond = (response) => response.writeHead(204).end();
    for (const tenant of ["acme", "globex"]) {
      await test.db.tenant(tenant, async (tx) => {
        await tx.deleteFrom("webhooks").execute();
        await tx.deleteFrom("alerts").execute();
      });
    }
  });
  respond = (response) => response.writeHead(204).end();

  it("keeps one alert per key while it is open, and opens a new one after it was resolved", async () => {
    const alerts = alertsWith();
    const first = await alerts.raise("acme", report);
    const second = await alerts.raise("acme", { ...report, title: "again" });
    expect(second).toMatchObject({ id: first.id, occurrences: 2, title: "again", state: "open" });
    await alerts.resolve("acme", report.key);
    expect(await alerts.resolve("acme", report.key)).toBeUndefined();
    const third = await alerts.raise("acme", report);
    expect(third.id).not.toBe(first.id);
    expect(await alerts.countOpen("acme")).toBe(1);
  });

  it("acknowledges with a name, once, and only within the tenant", async () => {
    const alerts = alertsWith();
    const { id } = await alerts.raise("acme", report);
    await expect(alerts.acknowledge("globex", id, actor)).rejects.toSatisfy((error) =>
      isAppError(error, "not-found"),
    );
    const done = await alerts.acknowledge("acme", id, actor);
    expect(done).toMatchObject({ state: "acknowledged", acknowledgedBy: "Ada" });
    const again = await alerts.acknowledge("acme", id, { ...actor, name: "Bob" });
    expect(again.acknowledgedBy).toBe("Ada");
  });

  it("lists page by page, newest first, filtered by state", async () => {
    const alerts = alertsWith();
    for (let index = 0; index < 5; index += 1) {
      await clock.advance(10);
      await alerts.raise("acme", { ...report, key: `k-${index}`, title: `t-${index}` });
    }
    await alerts.resolve("acme", "k-4");
    const titles: string[] = [];
    let cursor: string | undefined;
    do {
      const page = await alerts.list("acme", { state: "open", limit: 2, cursor });
      titles.push(...page.items.map((alert) => alert.title));
      cursor = page.nextCursor ?? undefined;
    } while (cursor);
    expect(titles).toEqual(["t-3", "t-2", "t-1", "t-0"]);
    await expect(alerts.list("acme", { cursor: "x" })).rejects.toSatisfy((error) =>
      isAppError(error, "invalid-cursor"),
    );
  });

  it("sends a signed CloudEvent that a Standard Webhooks receiver accepts", async () => {
    const alerts = alertsWith();
    const { secret } = await alerts.webhooks.create("acme", { url: `${base}/hook` }, actor);
    await alerts.raise("acme", report);
    expect(await alerts.deliverDue("acme")).toBe(1);
    expect(received).toHaveLength(1);
    const [{ headers, body }] = received as [Received];
    const event = new Webhook(secret).verify(body, headers as Record<string, string>);
    expect(event).toMatchObject({
      specversion: "1.0",
      type: "vautn.alert.raised",
      source: "/tenants/acme",
      data: { title: report.title, severity: "critical" },
    });
    expect(headers["webhook-id"]).toBe((event as { id: string }).id);
    expect(() => new Webhook(secret).verify(`${body} `, headers as never)).toThrow();
    expect(await alerts.deliverDue("acme")).toBe(0);
  });

  it("sends a webhook only the types that it asked for, and another tenant's never", async () => {
    const alerts = alertsWith();
    const eventTypes = ["vautn.alert.resolved"];
    await alerts.webhooks.create("acme", { url: `${base}/a`, eventTypes }, actor);
    await alerts.webhooks.create("globex", { url: `${base}/b` }, actor);
    await alerts.raise("acme", report);
    expect(await alerts.deliverDue("acme")).toBe(0);
    await alerts.resolve("acme", report.key);
    expect(await alerts.deliverDue("acme")).toBe(1);
    expect(await alerts.deliverDue("globex")).toBe(0);
    expect(received.map((request) => request.url)).toEqual(["/a"]);
  });

  it("tries again with growing pauses and logs each outcome", async () => {
    const alerts = alertsWith();
    const { id } = await alerts.webhooks.create("acme", { url: base }, actor);
    respond = (response) => response.writeHead(503).end("busy");
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(await alerts.deliverDue("acme")).toBe(0);
    await clock.advance(5_000);
    respond = (response) => response.writeHead(200).end("ok");
    expect(await alerts.deliverDue("acme")).toBe(1);
    const [delivery] = await alerts.webhooks.deliveries("acme", id);
    expect(delivery).toMatchObject({ status: "delivered", attempts: 2, lastStatus: 200 });
    const ids = received.map((request) => request.headers["webhook-id"]);
    expect(new Set(ids).size).toBe(1);
  });

  it("does not follow redirects", async () => {
    const alerts = alertsWith();
    const { id } = await alerts.webhooks.create("acme", { url: `${base}/from` }, actor);
    respond = (response) => response.writeHead(302, { location: `${base}/to` }).end();
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(received.map((request) => request.url)).toEqual(["/from"]);
    expect(await alerts.webhooks.deliveries("acme", id)).toMatchObject([
      { status: "pending", lastStatus: 302 },
    ]);
  });

  it("stops sending to a receiver that answers 410", async () => {
    const alerts = alertsWith();
    await alerts.webhooks.create("acme", { url: base }, actor);
    respond = (response) => response.writeHead(410).end();
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(await alerts.webhooks.list("acme")).toMatchObject([{ enabled: false }]);
  });

  it("does not read an endless answer", async () => {
    const alerts = alertsWith();
    const { id } = await alerts.webhooks.create("acme", { url: base }, actor);
    respond = (response) => {
      const more = () => {
        while (!response.destroyed && response.write("x".repeat(65_536)));
      };
      response.on("drain", more).on("error", () => {});
      more();
    };
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(await alerts.webhooks.deliveries("acme", id)).toMatchObject([{ status: "delivered" }]);
  });

  it("gives up on a receiver that does not answer", async () => {
    const alerts = alertsWith();
    const { id } = await alerts.webhooks.create("acme", { url: base }, actor);
    let waiting = false;
    respond = () => {
      waiting = true;
    };
    await alerts.raise("acme", report);
    const delivered = alerts.deliverDue("acme");
    await expect.poll(() => waiting).toBe(true);
    await clock.advance(10_000);
    await delivered;
    expect(await alerts.webhooks.deliveries("acme", id)).toMatchObject([
      { status: "pending", lastError: "no answer within 10 s" },
    ]);
  });

  it("tells others in the same turn whatever waits for a receiver that does not answer", async () => {
    const alerts = alertsWith();
    const hung = await alerts.webhooks.create("acme", { url: `${base}/hung` }, actor);
    let waiting = 0;
    respond = (response) => {
      if (received.at(-1)?.url === "/hung") waiting += 1;
      else response.writeHead(204).end();
    };
    for (let index = 0; index < 30; index += 1) {
      await alerts.raise("acme", { ...report, key: `hung-${index}` });
    }
    const other = await alerts.webhooks.create("acme", { url: `${base}/other` }, actor);
    await alerts.raise("acme", { ...report, key: "for-both" });
    const turn = alerts.deliverDue("acme");
    await expect.poll(() => received.some(({ url }) => url === "/other")).toBe(true);
    await clock.advance(10_000);
    await turn;
    expect(waiting).toBe(1);
    expect(await alerts.webhooks.deliveries("acme", other.id)).toMatchObject([
      { status: "delivered", attempts: 1 },
    ]);
    const attempts = (await alerts.webhooks.deliveries("acme", hung.id)).map((one) => one.attempts);
    expect(attempts.filter((count) => count > 0)).toEqual([1]);
    for (const { id } of [hung, other]) await alerts.webhooks.delete("acme", id);
  });

  it("leaves what came of a message to whoever has it, when its own lease ran out meanwhile", async () => {
    const alerts = alertsWith();
    const { id } = await alerts.webhooks.create("acme", { url: `${base}/late` }, actor);
    const leased = new Date(clock.now() + 3_600_000);
    respond = async (response) => {
      await test.db.tenant("acme", (tx) =>
        tx
          .updateTable("webhook_deliveries")
          .set({ attempts: 2, next_attempt_at: leased })
          .where("webhook_id", "=", id)
          .execute(),
      );
      response.writeHead(503).end();
    };
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(await alerts.webhooks.deliveries("acme", id)).toMatchObject([
      { status: "pending", attempts: 2, nextAttemptAt: leased, lastStatus: null },
    ]);
    await alerts.webhooks.delete("acme", id);
  });

  it("refuses a name that leads to a private address, whatever else it leads to", async () => {
    const resolve = async () => [
      { address: "93.184.216.34", family: 4 },
      { address: "127.0.0.1", family: 4 },
    ];
    const alerts = alertsWith({ allowPrivateAddresses: false, resolve });
    const { port } = new URL(base);
    const url = `http://hooks.example.com:${port}/`;
    const { id } = await alerts.webhooks.create("acme", { url }, actor);
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(received).toEqual([]);
    const [delivery] = await alerts.webhooks.deliveries("acme", id);
    expect(delivery?.lastError).toContain("private, loopback or link-local");
  });

  it("connects to the address that was checked, asking for the name once", async () => {
    let asked = 0;
    const resolve = async () => {
      asked += 1;
      return [{ address: "127.0.0.1", family: 4 }];
    };
    const alerts = alertsWith({ resolve });
    const { port } = new URL(base);
    await alerts.webhooks.create("acme", { url: `http://hooks.example.com:${port}/` }, actor);
    await alerts.raise("acme", report);
    await alerts.deliverDue("acme");
    expect(asked).toBe(1);
    expect(received[0]?.headers.host).toBe(`hooks.example.com:${port}`);
  });

  it("hands each delivery to one of two workers that look at once", async () => {
    const alerts = alertsWith();
    await alerts.webhooks.create("acme", { url: base }, actor);
    for (let index = 0; index < 10; index += 1) {
      await alerts.raise("acme", { ...report, key: `k-${index}` });
    }
    const attempts = await Promise.all([alerts.deliverDue("acme"), alerts.deliverDue("acme")]);
    expect(attempts[0] + attempts[1]).toBe(10);
    expect(received).toHaveLength(10);
  });

  it("refuses unknown event types, and keeps secrets sealed", async () => {
    const alerts = alertsWith();
    const create = alerts.webhooks.create("acme", { url: base, eventTypes: ["nonsense"] }, actor);
    await expect(create).rejects.toSatisfy((error) => isAppError(error, "invalid-request"));
    const { secret } = await alerts.webhooks.create("acme", { url: base }, actor);
    const [row] = await test.db.tenant("acme", (tx) =>
      tx.selectFrom("webhooks").select("secret_sealed").execute(),
    );
    expect(row?.secret_sealed.includes(Buffer.from(secret.slice(6)))).toBe(false);
    expect(JSON.stringify(await alerts.webhooks.list("acme"))).not.toContain(secret.slice(6));
  });
});
