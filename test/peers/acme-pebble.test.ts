import { once } from "node:events";
import https from "node:https";
import tls from "node:tls";
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, it } from "vitest";
import { LocalBus } from "../../src/bus/index.ts";
import { judge } from "../../src/cli/commands/operations.ts";
import { negotiate } from "../../src/cli/tls-probe.ts";
import { freePort } from "../../src/db/index.ts";
import type { AcmeOptions } from "../../src/identity/index.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";
import { type RunningRoles, startRoles } from "../../src/platform/roles.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { until } from "../support/gateway.ts";
import { createInstallation } from "../support/installation.ts";
import { hasPebble, type Pebble, startPebble } from "../support/pebble.ts";
import { createRealModules, type RealModules } from "../support/real-modules.ts";

describe.skipIf(!hasPebble)("pebble as ACME authority (skipped where it is not installed)", () => {
  let pebble: Pebble;
  let real: RealModules;
  let api: RunningRoles;
  let port: number;

  beforeAll(async () => {
    pebble = await startPebble();
    port = await freePort();
    real = await createRealModules(new LocalBus(), {
      VAUTN_API_PORT: String(port),
      VAUTN_ACME_DIRECTORY: pebble.directoryUrl,
      VAUTN_ACME_AGREE: "yes",
      VAUTN_ACME_EMAIL: "ops@example.com",
      VAUTN_ACME_NAMES: "localhost",
      VAUTN_ACME_EAB_KID: pebble.externalAccount.kid,
      VAUTN_ACME_EAB_KEY: pebble.externalAccount.hmacKey,
      VAUTN_ACME_CA: pebble.caFile,
      VAUTN_ACME_HTTP_PORT: String(pebble.httpPort),
    });
    const { config, stores } = real;
    const options = { config, stores, bus: new LocalBus(), processName: "api" };
    api = await startRoles({ ...options, roles: ["api"] });
  });
  afterAll(async () => {
    await api?.stop();
    await real?.close();
    await pebble?.stop();
  });

  const acme = () => api.modules.identity.acme;
  const issuer = async () => (await negotiate("127.0.0.1", port, 5_000)).issuer;
  const connect = async () => {
    const socket = tls.connect({ port, host: "127.0.0.1", rejectUnauthorized: false });
    await once(socket, "secureConnect");
    return socket;
  };
  /** Whether a keep-alive connection from before still gets its answers. */
  async function answers(socket: tls.TLSSocket): Promise<boolean> {
    socket.write("GET /healthz HTTP/1.1\r\nhost: localhost\r\n\r\n");
    const [answer] = await once(socket, "data");
    return String(answer).startsWith("HTTP/1.1 200");
  }

  it("is asked by one process only, proved to by HTTP-01, and serves the console then", async () => {
    expect(await issuer()).toContain("Vautn Server CA");
    expect(await acme().status()).toMatchObject({ state: "waiting", notAfter: null });
    const live = await connect();
    await Promise.all([acme().renewIfDue(), real.modules.identity.acme.renewIfDue()]);
    expect(await acme().status()).toMatchObject({ state: "valid", failures: 0, lastError: null });
    await until(async () => (await issuer()).includes("Pebble Intermediate"), 20_000);
    // A browser that has the authority's root in its trust believes the name.
    const trust = { ca: await pebble.root() };
    const request = https.get(`https://localhost:${port}/healthz`, trust);
    const [response] = await once(request, "response");
    expect(response.resume().statusCode).toBe(200);
    expect(await answers(live)).toBe(true);
    live.destroy();
    expect(judge(await negotiate("127.0.0.1", port, 5_000), Date.now()).state).toBe("ok");
  });

  it("leaves the devices' listeners to our own authority, which devices believe", async () => {
    const { identity } = api.modules;
    const [own, also] = [
      await identity.serverCredentials("gateway"),
      await identity.serverCredentials("device-http"),
    ];
    const { certificatePem } = await identity.serverCredentials("api");
    expect(own.certificatePem).toBe(also.certificatePem);
    expect(certificatePem).not.toBe(own.certificatePem);
  });

  it("renews without an end of connections that live", async () => {
    const serial = async () => {
      const socket = await connect();
      const found = socket.getPeerX509Certificate()?.serialNumber;
      socket.destroy();
      return found;
    };
    const first = await serial();
    const live = await connect();
    await acme().renewIfDue();
    expect(await serial()).toBe(first);
    await acme().renewNow();
    await acme().renewIfDue();
    await until(async () => (await serial()) !== first, 20_000);
    expect(await answers(live)).toBe(true);
    live.destroy();
    const { renewAt, notAfter } = (await acme().status()) ?? {};
    expect(renewAt?.getTime()).toBeGreaterThan(Date.now());
    expect(renewAt?.getTime()).toBeLessThan(notAfter?.getTime() ?? 0);
  });

  it("is given the account anew when it has forgotten it", async () => {
    await pebble.restart();
    await acme().renewNow();
    await acme().renewIfDue();
    expect(await acme().status()).toMatchObject({ state: "valid", failures: 0 });
  });

  describe("of which nothing comes", () => {
    let other: TestDatabase;
    beforeEach(async () => {
      other = await createTestDatabase();
      await createInstallation(other).identity.ensurePlatform();
    });
    afterEach(() => other.close());

    const options = (changed: Partial<AcmeOptions>): AcmeOptions => ({
      directoryUrl: pebble.directoryUrl,
      names: ["localhost"],
      listeners: ["api"],
      externalAccount: pebble.externalAccount,
      caFile: pebble.caFile,
      pollMs: 20,
      ...changed,
    });

    it.each([
      [
        "account",
        /unknown external account|key ID|kid/i,
        { externalAccount: { kid: "kid-9", hmacKey: "QUFBQUFBQUFBQUFBQUFBQQ" } },
      ],
      ["account", /self-signed certificate/i, { caFile: undefined }],
      ["account", /ECONNREFUSED/, { directoryUrl: "https://localhost:1/dir" }],
    ] as const)("says so: step %s, %s", async (step, message, changed) => {
      const clock = new VirtualClock(Date.now());
      const { identity } = createInstallation(other, { clock, acme: options(changed) });
      await identity.acme.renewIfDue();
      const failed = await identity.acme.status();
      expect(failed).toMatchObject({ state: "failing", failures: 1, lastStep: step });
      expect(failed?.lastError).toMatch(message);
      expect(failed?.nextAttemptAt).toEqual(new Date(clock.now() + 60_000));
      // Nobody is worse off: the listeners go on with our own.
      expect((await identity.serverCredentials("api")).isProvisional).toBe(false);
    });

    it("because it finds no answer, says so with the name and the authority's words", async () => {
      // Another installation's challenges are not answered where the authority looks.
      const { identity } = createInstallation(other, { acme: options({}) });
      await identity.acme.renewIfDue();
      const status = await identity.acme.status();
      expect(status).toMatchObject({ state: "failing", failures: 1, lastStep: "challenge" });
      expect(status?.lastError).toMatch(/^localhost: .*404/);
    });

    it("asks later and later, and at once when a person says so", async () => {
      const clock = new VirtualClock(Date.now());
      const unreachable = options({ directoryUrl: "https://localhost:2/dir" });
      const { identity } = createInstallation(other, { clock, acme: unreachable });
      const minutes: number[] = [];
      for (let round = 0; round < 6; round += 1) {
        await identity.acme.renewIfDue();
        const { nextAttemptAt } = (await identity.acme.status()) ?? {};
        const waitMs = (nextAttemptAt?.getTime() ?? 0) - clock.now();
        minutes.push(waitMs / 60_000);
        await clock.advance(waitMs - 1);
        await identity.acme.renewIfDue();
        expect((await identity.acme.status())?.failures).toBe(round + 1);
        await clock.advance(1);
      }
      expect(minutes).toEqual([1, 5, 30, 120, 720, 720]);
      await identity.acme.renewIfDue();
      await identity.acme.renewNow();
      await identity.acme.renewIfDue();
      expect((await identity.acme.status())?.failures).toBe(8);
    });
  });
});
