import { describe, expect, it } from "vitest";
import { VirtualClock } from "../../src/kernel/index.ts";
import { createSignInLimits } from "../../src/sign-in/sign-in-limits.ts";

const EMAIL = "ursula@example.com";

function attempts(limits: ReturnType<typeof createSignInLimits>, email: string, address: string) {
  for (let count = 0; count < 1_000; count += 1) {
    try {
      limits.attempt({ email, address });
    } catch {
      return count;
    }
  }
  return 1_000;
}

describe("the limits on guessing passwords", () => {
  it("let one address guess five times at one account in a quarter of an hour", async () => {
    const clock = new VirtualClock();
    const limits = createSignInLimits(clock);
    expect(attempts(limits, EMAIL, "192.0.2.1")).toBe(5);
    await clock.advance(15 * 60_000 - 1);
    expect(attempts(limits, EMAIL, "192.0.2.1")).toBe(0);
    await clock.advance(1);
    expect(attempts(limits, EMAIL, "192.0.2.1")).toBe(5);
  });

  it("leave the person who is guessed at alone, wherever else they come from", () => {
    const limits = createSignInLimits(new VirtualClock());
    for (let host = 1; host < 200; host += 1) attempts(limits, EMAIL, `192.0.2.${host}`);
    expect(() => limits.attempt({ email: EMAIL, address: "198.51.100.1" })).not.toThrow();
  });

  it("let one address guess thirty times, whatever the accounts", () => {
    const limits = createSignInLimits(new VirtualClock());
    let total = 0;
    for (let user = 0; user < 20; user += 1) {
      total += attempts(limits, `user-${user}@example.com`, "192.0.2.1");
    }
    expect(total).toBe(30);
  });

  it("count a /64 of IPv6 as one address, and an IPv4 address as itself in both forms", () => {
    const limits = createSignInLimits(new VirtualClock());
    expect(attempts(limits, EMAIL, "2001:db8:0:1::1")).toBe(5);
    expect(attempts(limits, EMAIL, "2001:db8:0:1:ffff::2")).toBe(0);
    expect(attempts(limits, EMAIL, "2001:db8:0:2::1")).toBe(5);
    expect(attempts(limits, EMAIL, "192.0.2.1")).toBe(5);
    expect(attempts(limits, EMAIL, "::ffff:192.0.2.1")).toBe(0);
    expect(attempts(limits, EMAIL, "::ffff:192.0.2.2")).toBe(5);
  });

  it("do not count what succeeded, and wash no other account clean", () => {
    const limits = createSignInLimits(new VirtualClock());
    for (let count = 0; count < 100; count += 1) {
      limits.attempt({ email: EMAIL, address: "192.0.2.1" });
      limits.succeeded({ email: EMAIL, address: "192.0.2.1" });
    }
    expect(attempts(limits, "victim@example.com", "192.0.2.1")).toBe(5);
    limits.attempt({ email: EMAIL, address: "192.0.2.1" });
    limits.succeeded({ email: EMAIL, address: "192.0.2.1" });
    expect(attempts(limits, "victim@example.com", "192.0.2.1")).toBe(0);
  });

  it("remember no more than their bound", () => {
    const limits = createSignInLimits(new VirtualClock(), 100);
    for (let host = 0; host < 10_000; host += 1) {
      limits.attempt({ email: EMAIL, address: `10.0.${host >> 8}.${host & 255}` });
    }
    expect(() => limits.attempt({ email: EMAIL, address: "10.0.0.0" })).not.toThrow();
  });
});
