import { argon2, randomBytes, timingSafeEqual } from "node:crypto";
import { promisify } from "node:util";
import { AppError } from "../kernel/index.ts";

const derive = promisify(argon2);

/** OWASP's figures for argon2id: 19 MiB, two passes, one lane. */
const COST = { memory: 19_456, passes: 2, parallelism: 1, tagLength: 32 };
const NONCE_BYTES = 16;

/** Derivations at once: each takes 19 MiB and a thread of the pool that files and DNS share. */
const MAX_RUNNING = 2;
const MAX_WAITING = 64;

export const PASSWORD_LENGTH = { minimum: 10, maximum: 256 };

/** A derivation that matches no password, for users who do not exist. */
const NOBODY =
  "$argon2id$v=19$m=19456,t=2,p=1$AAAAAAAAAAAAAAAAAAAAAA$AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA";

export interface Passwords {
  /** argon2id in PHC string form. */
  hash(password: string): Promise<string>;
  /** Whether `password` is the one; takes as long where `hash` is null. */
  matches(password: string, hash: string | null): Promise<boolean>;
}

export function createPasswords(): Passwords {
  const turns = createTurns();
  return {
    hash(password) {
      return turns(async () => {
        const nonce = randomBytes(NONCE_BYTES);
        const tag = await derive("argon2id", { ...COST, message: normalised(password), nonce });
        const { memory, passes, parallelism } = COST;
        const parameters = `m=${memory},t=${passes},p=${parallelism}`;
        return `$argon2id$v=19$${parameters}$${unpadded(nonce)}$${unpadded(tag)}`;
      });
    },
    matches(password, hash) {
      return turns(async () => {
        const stored = parsePhc(hash ?? NOBODY);
        const tag = await derive("argon2id", { ...stored.cost, message: normalised(password) });
        return timingSafeEqual(tag, stored.tag) && hash !== null;
      });
    },
  };
}

/** Throws `invalid-content` for what is too short, too long or the same as the e-mail address. */
export function checkPassword(password: string, email: string): void {
  const { minimum, maximum } = PASSWORD_LENGTH;
  if (password.length < minimum || password.length > maximum) {
    throw new AppError("invalid-content", `a password has ${minimum} to ${maximum} characters`, {
      errors: [{ field: "password", message: `needs ${minimum} to ${maximum} characters` }],
    });
  }
  if (password.toLowerCase() === email || new Set(password).size < 4) {
    throw new AppError("invalid-content", "this password is too easy to guess", {
      errors: [{ field: "password", message: "is too easy to guess" }],
    });
  }
}

// One password typed on two keyboards may come composed or decomposed (NIST SP 800-63B §5.1.1.2).
function normalised(password: string): string {
  return password.normalize("NFKC");
}

function unpadded(bytes: Buffer): string {
  return bytes.toString("base64").replace(/=+$/, "");
}

function parsePhc(text: string) {
  const match = /^\$argon2id\$v=19\$m=(\d+),t=(\d+),p=(\d+)\$([^$]+)\$([^$]+)$/.exec(text);
  if (!match) throw new Error("a stored password hash cannot be read");
  const tag = Buffer.from(match[5] as string, "base64");
  return {
    tag,
    cost: {
      memory: Number(match[1]),
      passes: Number(match[2]),
      parallelism: Number(match[3]),
      nonce: Buffer.from(match[4] as string, "base64"),
      tagLength: tag.length,
    },
  };
}

/** Lets a few run at once, a few more wait, and refuses the rest. */
function createTurns() {
  let running = 0;
  const waiting: (() => void)[] = [];
  return async function turn<T>(work: () => Promise<T>): Promise<T> {
    if (running >= MAX_RUNNING) {
      if (waiting.length >= MAX_WAITING) {
        throw new AppError("rate-limited", "too many people are signing in at this moment");
      }
      await new Promise<void>((resolve) => waiting.push(resolve));
    } else running += 1;
    try {
      return await work();
    } finally {
      const next = waiting.shift();
      if (next) next();
      else running -= 1;
    }
  };
}
