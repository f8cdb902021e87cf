import { isIPv6 } from "node:net";
import { AppError, type Clock } from "../kernel/index.ts";

const WINDOW_MS = 15 * 60_000;
/** Wrong passwords from one address for one account. */
const MAX_PER_ACCOUNT_AND_ADDRESS = 5;
/** Wrong passwords from one address for any account. */
const MAX_PER_ADDRESS = 30;
/** Wrong codes for one account, after its right password, from browsers that it does not know. */
const MAX_CODES_PER_ACCOUNT = 10;
const MAX_ENTRIES = 20_000;

/** Who tries: a browser that the person has signed in with before is counted by itself. */
export interface Attempt {
  email: string;
  address: string;
  /** Id of the known browser. */
  browser?: string | undefined;
}

/**
 * Slows guessing down. Every limit on passwords belongs to an address or a browser, never to an
 * account alone: whoever guesses at someone's password locks out themselves and not the person. Codes
 * are counted for the account too, for browsers that it does not know: only who has the password
 * comes that far, and many addresses would be many guesses at six digits.
 */
export interface SignInLimits {
  /**
   * Counts an attempt as failed until it has succeeded, so that many at once gain nothing; throws
   * `rate-limited` with `retryAfterSeconds`.
   */
  attempt(attempt: Attempt): void;
  succeeded(attempt: Attempt): void;
  /** Takes back what `attempt` has counted: it was no failure, and no success yet. */
  forgive(attempt: Attempt): void;
  /** Counts a code as wrong until it was right; throws `rate-limited`. */
  attemptCode(attempt: Attempt): void;
  codeSucceeded(attempt: Attempt): void;
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
    throw new AppError("rate-limited", "too many wrong passwords or codes", {
      retryAfterSeconds,
    });
  }

  function lower(key: string): void {
    const entry = current(key);
    if (entry) entry.count -= 1;
  }

  return {
    attempt({ email, address, browser }) {
      if (browser !== undefined) {
        refuseAbove(browserKey(browser), MAX_PER_ACCOUNT_AND_ADDRESS);
        count(browserKey(browser));
        return;
      }
      refuseAbove(pairKey(email, address), MAX_PER_ACCOUNT_AND_ADDRESS);
      refuseAbove(addressKey(address), MAX_PER_ADDRESS);
      count(pairKey(email, address));
      count(addressKey(address));
    },
    succeeded({ email, address, browser }) {
      if (browser !== undefined) {
        failures.delete(browserKey(browser));
        return;
      }
      failures.delete(pairKey(email, address));
      // One good account does not wash an address clean for guessing at others.
      lower(addressKey(address));
    },
    forgive({ email, address, browser }) {
      if (browser !== undefined) return lower(browserKey(browser));
      lower(pairKey(email, address));
      lower(addressKey(address));
    },
    attemptCode({ email, browser }) {
      if (browser !== undefined) return;
      refuseAbove(codesKey(email), MAX_CODES_PER_ACCOUNT);
      count(codesKey(email));
    },
    codeSucceeded({ email, browser }) {
      if (browser === undefined) lower(codesKey(email));
    },
  };
}

function browserKey(browser: string): string {
  return `browser\n${browser}`;
}

function codesKey(email: string): string {
  return `codes\n${email}`;
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
