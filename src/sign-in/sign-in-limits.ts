import { isIPv6 } from "node:net";
import { AppError, type Clock } from "../kernel/index.ts";

const WINDOW_MS = 15 * 60_000;
/** Wrong passwords from one address for one account. */
const MAX_PER_ACCOUNT_AND_ADDRESS = 5;
/** Wrong passwords from one address for any account. */
const MAX_PER_ADDRESS = 30;
const MAX_ENTRIES = 20_000;

/**
 * Slows guessing down. Every limit belongs to an address, never to an account alone: whoever
 * guesses at someone's password locks out themselves and not the person.
 */
export interface SignInLimits {
  /**
   * Counts an attempt as failed until it has succeeded, so that many at once gain nothing; throws
   * `rate-limited` with `retryAfterSeconds`.
   */
  attempt(email: string, address: string): void;
  succeeded(email: string, address: string): void;
}

export function createSignInLimits(clock: Clock, maxEntries = MAX_ENTRIES): SignInLimits {
  const failures = new Map<string, { count: number; startedAt: number }>();

  function current(key: string) {
    const entry = failures.get(key);
    if (entry && clock.now() - entry.startedAt < WINDOW_MS) return entry;
    failures.delete(key);
    return undefined;
  }

  function count(key: string): void {
    const entry = current(key);
    if (entry) {
      entry.count += 1;
      return;
    }
    // Bounded memory: what started longest ago gives way.
    if (failures.size >= maxEntries) failures.delete(failures.keys().next().value as string);
    failures.set(key, { count: 1, startedAt: clock.now() });
  }

  function refuseAbove(key: string, maximum: number): void {
    const entry = current(key);
    if (!entry || entry.count < maximum) return;
    const retryAfterSeconds = Math.ceil((entry.startedAt + WINDOW_MS - clock.now()) / 1000);
    throw new AppError("rate-limited", "too many wrong passwords from this address", {
      retryAfterSeconds,
    });
  }

  return {
    attempt(email, address) {
      refuseAbove(pairKey(email, address), MAX_PER_ACCOUNT_AND_ADDRESS);
      refuseAbove(addressKey(address), MAX_PER_ADDRESS);
      count(pairKey(email, address));
      count(addressKey(address));
    },
    succeeded(email, address) {
      failures.delete(pairKey(email, address));
      // One good account does not wash an address clean for guessing at others.
      const entry = current(addressKey(address));
      if (entry) entry.count -= 1;
    },
  };
}

function pairKey(email: string, address: string): string {
  return `${email}\n${network(address)}`;
}

function addressKey(address: string): string {
  return `\n${network(address)}`;
}

/** An IPv6 subscriber owns a /64, so that is what counts as one address. */
function network(address: string): string {
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped) return mapped;
  if (!isIPv6(address)) return address;
  const [head = "", tail] = (address.split("%")[0] as string).split("::");
  const before = head === "" ? [] : head.split(":");
  const after = tail ? tail.split(":") : [];
  const zeros = tail === undefined ? 0 : Math.max(0, 8 - before.length - after.length);
  const groups = [...before, ...Array<string>(zeros).fill("0"), ...after];
  return `${groups
    .slice(0, 4)
    .map((group) => Number.parseInt(group, 16).toString(16))
    .join(":")}::/64`;
}
