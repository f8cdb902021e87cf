import { generateKeyPairSync, type KeyObject, X509Certificate } from "node:crypto";
import fc from "fast-check";
import { expect, test } from "vitest";
import { CredentialStore, replaceFile, type Storage } from "../../src/agent/index.ts";
import { seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import { createCertificateRequest } from "../../src/protocol/index.ts";
import { PagePool, PowerLost, SimulatedFlash, StubAuthority } from "../../src/simulator/index.ts";
import { ROTATIONS, rotateWithCuts } from "../../src/simulator/powercut-rotation.ts";
import { simulatePowercuts } from "../../src/simulator/powercut-simulation.ts";

const DEVICE = "device-1";

test("a power cut at any change of the flash, and lost or doubled answers, never strand a device that renews its certificate", async () => {
  const { cuts, outcomes, violations } = await simulatePowercuts(60, 20_261_124, ROTATIONS);
  expect(violations).toEqual([]);
  expect(cuts).toBeGreaterThanOrEqual(60);
  expect(outcomes).toMatchObject({ failed: 0 });
});

/** The key goes over the old one, then the certificate is fetched, then it is written. */
async function naiveOrder(storage: Storage, authority: StubAuthority): Promise<void> {
  const { current } = await CredentialStore.open(storage);
  const key = generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey;
  const keyPem = key.export({ type: "pkcs8", format: "pem" }) as string;
  await replaceFile(storage, "key.pem", Buffer.from(keyPem));
  const issued = authority.renew(DEVICE, current, requestFor(key));
  const certificate = issued.certificate + issued.chain;
  const fresh = { key: keyPem, certificate, root: issued.roots };
  authority.confirm(DEVICE, fresh, serialOf(certificate));
  await replaceFile(storage, "certificate.pem", Buffer.from(certificate));
}

/** The store's order, with the same calls to the platform in the same places. */
async function atomicOrder(storage: Storage, authority: StubAuthority): Promise<void> {
  const store = await CredentialStore.open(storage);
  await store.begin("command");
  const key = await store.candidateKey();
  const issued = authority.renew(DEVICE, store.current, requestFor(key));
  await store.keep({ certificate: issued.certificate + issued.chain, root: issued.roots });
  authority.check(DEVICE, await store.candidate());
  await store.switchOver(0);
  authority.confirm(DEVICE, store.current, store.current.serial);
  await store.confirmed();
  await store.finish();
}

const requestFor = (privateKey: KeyObject) =>
  createCertificateRequest({
    privateKey,
    commonName: `acme/${DEVICE}`,
    organization: "acme",
  });
const serialOf = (pem: string) => new X509Certificate(pem).serialNumber.toLowerCase();

/** How many of the cuts leave a device that cannot connect. */
async function strandedBy(order: typeof naiveOrder): Promise<{ cuts: number; stranded: number }> {
  let stranded = 0;
  for (let cutAt = 1; ; cutAt += 1) {
    const authority = new StubAuthority({ tenant: "acme", clock: new VirtualClock() });
    const flash = new SimulatedFlash(new PagePool(), seededRandom(cutAt));
    const delivered = authority.provision(DEVICE);
    for (const [name, text] of Object.entries(delivered)) {
      await replaceFile(flash.mount(), `${name}.pem`, Buffer.from(text));
    }
    let wasCut = false;
    flash.cutPowerAfter(cutAt, () => {
      wasCut = true;
    });
    await order(flash.mount(), authority).catch((error) => {
      if (!(error instanceof PowerLost)) throw error;
    });
    flash.cancelPowerCut();
    flash.restorePower();
    try {
      authority.check(DEVICE, (await CredentialStore.open(flash.mount())).current);
    } catch {
      stranded += 1;
    }
    if (!wasCut) return { cuts: cutAt - 1, stranded };
  }
}

test("the naive order strands devices under the same cuts, the order of generations none", async () => {
  const naive = await strandedBy(naiveOrder);
  expect(naive.cuts).toBeGreaterThan(5);
  expect(naive.stranded).toBeGreaterThan(2);
  const atomic = await strandedBy(atomicOrder);
  expect(atomic.cuts).toBeGreaterThan(naive.cuts);
  expect(atomic.stranded).toBe(0);
});

test("whatever is cut and whatever is lost, in any combination, a rotation ends with a confirmed certificate", async () => {
  await fc.assert(
    fc.asyncProperty(
      fc.constantFrom(...ROTATIONS),
      fc.array(fc.integer({ min: 1, max: 120 }), { minLength: 1, maxLength: 6 }),
      fc.integer({ min: 0, max: 2 ** 30 }),
      async (way, cutsAt, seed) => {
        const { outcome, violations } = await rotateWithCuts(way, cutsAt, seed);
        expect(violations).toEqual([]);
        expect(outcome).toBe("rotated");
      },
    ),
    { numRuns: 40, seed: 20_261_124 },
  );
});
