import { expect, test } from "vitest";
import type { GatewayPeer, StandingChange } from "../../src/gateway/deps.ts";
import { StandingLog } from "../../src/gateway/standing-log.ts";

const peer: GatewayPeer = {
  ...{ tenantId: "acme", deviceId: "d1", serial: "0a" },
  notAfter: new Date(2_000_000_000_000),
};

test.each<[boolean, StandingChange]>([
  [true, { kind: "revoked", tenantId: "acme", deviceId: "d1", serial: "0a" }],
  [true, { kind: "revoked", tenantId: "acme", deviceId: "d1" }],
  [true, { kind: "quarantined", tenantId: "acme", deviceId: "d1" }],
  [true, { kind: "suspended", tenantId: "acme" }],
  [true, { kind: "revoked", tenantId: "acme", serial: "0a" }],
  // The certificate that this one has taken the place of, and those of others.
  [false, { kind: "revoked", tenantId: "acme", deviceId: "d1", serial: "09" }],
  [false, { kind: "revoked", tenantId: "acme", deviceId: "d2" }],
  [false, { kind: "revoked", tenantId: "globex", deviceId: "d1", serial: "0a" }],
  [false, { kind: "suspended", tenantId: "globex" }],
])("that it concerns who is being let in is %s of %j", (expected, change) => {
  const log = new StandingLog();
  const before = log.position;
  log.add(change);
  expect(log.hasConcerned(peer, before)).toBe(expected);
  expect(log.hasConcerned(peer, log.position)).toBe(false);
});

test("what has been forgotten since may have concerned anybody", () => {
  const log = new StandingLog();
  const before = log.position;
  const other = { kind: "revoked", tenantId: "acme", deviceId: "d2" } as const;
  for (let count = 0; count < 1_000; count += 1) log.add(other);
  expect(log.hasConcerned(peer, before)).toBe(false);
  for (let count = 0; count < 4_000; count += 1) log.add(other);
  expect(log.hasConcerned(peer, before)).toBe(true);
  expect(log.position).toBe(before + 5_000);
  log.add({ kind: "revoked", tenantId: "acme", deviceId: "d1" });
  expect(log.hasConcerned(peer, before + 4_999)).toBe(true);
  expect(log.hasConcerned(peer, before + 5_001)).toBe(false);
});
