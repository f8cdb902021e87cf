import { X509Certificate } from "node:crypto";
import { expect, test } from "vitest";
import {
  AGENT_DEFAULTS,
  CredentialStore,
  IdentityRefused,
  type Reenrolment,
  ReenrolmentRefused,
  type Transport,
} from "../../src/agent/index.ts";
import type { StubAuthority } from "../../src/simulator/index.ts";
import { startBench } from "../support/bench-device.ts";
import { type IdentityBench, startIdentityBench } from "../support/identity-bench.ts";

const HOUR_MS = 3_600_000;

const serialOf = (pem: string) => new X509Certificate(pem).serialNumber.toLowerCase();
const steps = (bench: IdentityBench) => bench.events().map(({ step }) => step);
const onlyEst = { rotation: { ...AGENT_DEFAULTS.rotation, way: "est" as const } };

/** EST that gives what `change` makes of the authority's answer. */
function changedEst(
  change: (issued: Awaited<ReturnType<Reenrolment["reenroll"]>>) => unknown,
): (authority: StubAuthority) => { reenrolment: Reenrolment } {
  return (authority) => ({
    reenrolment: {
      reenroll: async (...args) =>
        change(await authority.reenrolment("device-1").reenroll(...args)) as never,
    },
  });
}

test("a command renews the certificate, and its result comes when the new one is in use", async () => {
  const bench = await startIdentityBench();
  bench.order("c-1");
  await bench.until(() => bench.results("c-1").length > 0);
  const serial = bench.authority.confirmed(bench.device);
  const notAfter = expect.stringMatching(/^\d{4}-/);
  expect(bench.results("c-1")).toEqual([{ status: "succeeded", output: { serial, notAfter } }]);
  expect(bench.isRenewed()).toBe(true);
  await bench.until(() => steps(bench).includes("done"));
  const all = ["key", "request", "store", "trial", "switch", "reconnect", "confirm", "done"];
  expect(steps(bench)).toEqual(all);
  expect(bench.events().at(-1)).toMatchObject({ serial });
});

test("a certificate is renewed at two thirds of its life without an order", async () => {
  const bench = await startIdentityBench({ lifetimeMs: 3 * HOUR_MS });
  await bench.pass(1.9 * HOUR_MS);
  expect(steps(bench)).toEqual([]);
  await bench.until(bench.isRenewed, HOUR_MS / 2);
  await bench.until(() => steps(bench).includes("done"));
  expect(bench.events()[0]).toMatchObject({ step: "key", reason: "policy" });
});

test("other programs of the device find the new certificate where the old one was", async () => {
  const bench = await startIdentityBench();
  bench.order("c-1");
  await bench.until(bench.isRenewed);
  const { serial, generation } = bench.certificate();
  expect(serialOf(await bench.file("certificate.pem"))).toBe(serial);
  const key = await bench.file(`generation-${generation}.key.pem`);
  expect(await bench.file("key.pem")).toBe(key);
});

test("two generations are kept after many renewals", async () => {
  const bench = await startIdentityBench();
  for (let round = 0; round < 4; round += 1) {
    const { serial } = bench.certificate();
    bench.order(`c-${round}`);
    await bench.until(() => bench.certificate().serial !== serial && bench.isRenewed());
  }
  const files = await bench.machine.flash.mount().list();
  expect(files.filter((name) => /^generation-\d+\.key\.pem$/.test(name))).toHaveLength(2);
});

test("new authorities of the platform bring a new certificate, once", async () => {
  const bench = await startIdentityBench({ est: false, lifetimeMs: 12 * HOUR_MS });
  const root = new X509Certificate(bench.authority.rootPem);
  const roots = [root.fingerprint256.replaceAll(":", "").toLowerCase()];
  const announce = () =>
    bench.platform.send(bench.device, "certificate/authorities", { issuer: "0".repeat(64), roots });
  announce();
  await bench.until(bench.isRenewed, 2 * HOUR_MS);
  expect(bench.events()[0]).toMatchObject({ step: "key", reason: "authorities" });
  const { serial } = bench.certificate();
  // The stub goes on issuing by the same authority: what was answered is not answered again.
  announce();
  await bench.pass(2 * HOUR_MS);
  expect(bench.certificate().serial).toBe(serial);
});

test("a step that fails is told with its reason, once, and tried again later and later", async () => {
  const attempts: number[] = [];
  const bench = await startIdentityBench({
    settings: onlyEst,
    lifetimeMs: 12 * HOUR_MS,
    machine: () => ({
      reenrolment: {
        async reenroll() {
          attempts.push(bench.clock.now());
          throw new ReenrolmentRefused("the renewal was refused with 503: busy", false);
        },
      },
    }),
  });
  bench.order("c-1");
  await bench.until(() => bench.results("c-1").length > 0);
  const error = expect.stringMatching(/step request failed \(est\).*503: busy/);
  expect(bench.results("c-1")).toEqual([{ status: "failed", error }]);
  await bench.pass(6 * HOUR_MS);
  const failures = bench.events().filter((event) => event.error);
  expect(failures).toMatchObject([{ step: "request", error: { element: "est" } }]);
  expect(attempts.length).toBeGreaterThan(3);
  expect(attempts.length).toBeLessThan(40);
  expect(bench.certificate()).toMatchObject({ rotation: "request", serial: bench.firstSerial });
});

test.each([
  ["for another key", "key", (other: string) => ({ certificate: other })],
  ["without a root", "roots", () => ({ roots: "" })],
  ["whose root is none", "roots", (other: string) => ({ roots: other })],
  ["that leads to no root", "chain", () => ({ chain: "" })],
  ["that cannot be read", "certificate", () => ({ certificate: "nonsense" })],
])(
  "an answer %s is not kept, and another key is made for the next try",
  async (_, element, change) => {
    let isWrong = true;
    let other = "";
    const bench = await startIdentityBench({
      settings: onlyEst,
      machine: (authority) => {
        other =
          authority
            .provision("somebody-else")
            .certificate.split(/(?<=-----END CERTIFICATE-----\n)/)[0] ?? "";
        return changedEst((issued) => (isWrong ? { ...issued, ...change(other) } : issued))(
          authority,
        );
      },
    });
    bench.order("c-1");
    await bench.until(() => bench.results("c-1").length > 0);
    await bench.until(() => bench.events().some(({ error }) => error));
    expect(bench.events().find(({ error }) => error)).toMatchObject({
      step: "store",
      error: { element },
    });
    expect(bench.certificate().serial).toBe(bench.firstSerial);
    isWrong = false;
    await bench.until(bench.isRenewed);
  },
);

test("EST that fails gives way to messages", async () => {
  const bench = await startIdentityBench({
    machine: () => ({
      reenrolment: { reenroll: () => Promise.reject(new Error("connect ECONNREFUSED")) },
    }),
  });
  bench.order("c-1");
  await bench.until(bench.isRenewed);
});

test("a device whose certificate is good for its renewal only renews it, by messages too", async () => {
  for (const est of [true, false]) {
    let isExpired = false;
    const bench: IdentityBench = await startIdentityBench({
      est,
      machine: (_authority, platform) => ({
        transport: limitedTransport(
          platform.transport("device-1"),
          (serial) => isExpired && serial === bench.firstSerial,
        ),
      }),
    });
    isExpired = true;
    bench.platform.setDown(true);
    bench.platform.setDown(false);
    await bench.until(bench.isRenewed);
    await bench.until(() => bench.events().length > 0);
    expect(bench.events()[0]).toMatchObject({ reason: "refused" });
  }
});

/** The platform as it meets an expired certificate: it lets it in for certificates alone. */
function limitedTransport(inner: Transport, isLimited: (serial: string) => boolean): Transport {
  return {
    async connect(handlers, signal, options = {}) {
      const { credentials, certificatesOnly } = options;
      const serial = credentials ? serialOf(credentials.certificate) : "";
      if (isLimited(serial) && !certificatesOnly) throw new IdentityRefused("it has expired");
      return inner.connect(handlers, signal, options);
    },
  };
}

test("a new certificate that is refused after its trial makes the device go back, and try another", async () => {
  const refusedSerials = new Set<string>();
  let isStrange = true;
  const bench: IdentityBench = await startIdentityBench({
    machine: (_authority, platform) => ({
      transport: {
        async connect(handlers, signal, options = {}) {
          const serial = serialOf(options.credentials?.certificate ?? "");
          // Accepted on trial, and never again.
          if (refusedSerials.has(serial)) throw new IdentityRefused("it is not known");
          if (options.certificatesOnly && isStrange) {
            refusedSerials.add(serial);
            isStrange = false;
          }
          return platform.transport("device-1").connect(handlers, signal, options);
        },
      },
    }),
  });
  bench.order("c-1");
  await bench.until(bench.isRenewed);
  await bench.until(() => bench.events().some(({ error }) => error));
  const failed = bench.events().find(({ error }) => error);
  expect(failed).toMatchObject({ step: "reconnect", error: { element: "platform" } });
  expect(refusedSerials.has(bench.certificate().serial)).toBe(false);
});

test("whatever single file is lost or spoilt, a device with a way back finds a whole identity", async () => {
  const bench = await startIdentityBench();
  bench.order("c-1");
  await bench.until(bench.isRenewed);
  const storage = bench.machine.flash.mount();
  const names = (await storage.list()).filter((name) => /pem$|^identity/.test(name));
  expect(names.length).toBe(10);
  for (const name of names) {
    const content = (await storage.read(name)) as Uint8Array;
    for (const spoilt of [undefined, Buffer.alloc(content.length, 0xff)]) {
      await storage.remove(name);
      if (spoilt) await write(storage, name, spoilt);
      const { current } = await CredentialStore.open(storage);
      expect(() => bench.authority.check("somebody", current)).toThrow(/registry/);
      await write(storage, name, content);
    }
  }
});

async function write(
  storage: ReturnType<IdentityBench["machine"]["flash"]["mount"]>,
  name: string,
  content: Uint8Array,
): Promise<void> {
  const file = await storage.open(name);
  await file.truncate(0);
  await file.write(0, content);
  await file.sync();
}

test("a device whose identity is somebody else's to keep says so", async () => {
  const bench = await startBench();
  const expiresAt = bench.clock.now() + HOUR_MS;
  const command = { id: "c-1", name: "rotate-certificate", args: {}, expiresAt, traceparent: null };
  bench.platform.command(bench.device, command);
  const results = () => bench.platform.received(bench.device, "commands/c-1/result");
  await bench.until(() => results().length > 0);
  const error = expect.stringMatching(/not the agent's to renew/);
  expect(results()).toEqual([{ status: "failed", error }]);
});
