import path from "node:path";
import { networkOf } from "./public-address.ts";

/** One setting: where it comes from, what it is for, and how its text becomes a value. */
export interface Setting {
  variable: string;
  describe: string;
  secret?: boolean;
  parse(text: string | undefined): unknown;
}

export function file(variable: string, describe: string): Setting {
  return {
    variable,
    describe,
    parse: (text) => (text === undefined ? undefined : path.resolve(text)),
  };
}

export function port(variable: string, what: string, fallback: number): Setting {
  return {
    variable,
    describe: `port of ${what} (default ${fallback}; 0 picks a free one)`,
    parse: (text) => integer(text ?? String(fallback), 0, 65_535),
  };
}

export function url(variable: string, describe: string, protocols: string[]): Setting {
  return {
    variable,
    describe,
    parse(text) {
      if (text === undefined) return undefined;
      if (!URL.canParse(text) || !protocols.includes(new URL(text).protocol)) {
        throw new Error(`needs a URL that starts with ${protocols.join(" or ")}`);
      }
      return text;
    },
  };
}

export function oneOf<T extends string>(text: string, allowed: readonly T[]): T {
  if (!allowed.includes(text as T)) throw new Error(`"${text}" is none of ${allowed.join(", ")}`);
  return text as T;
}

export function integer(text: string, minimum: number, maximum: number): number {
  const value = Number(text);
  if (!Number.isInteger(value) || value < minimum || value > maximum) {
    throw new Error(`"${text}" is no whole number from ${minimum} to ${maximum}`);
  }
  return value;
}

/** `name=number,name=number` */
export function numbers(text: string | undefined): Readonly<Record<string, number>> {
  const entries = (text ?? "").split(",").filter((entry) => entry.trim() !== "");
  const pairs = entries.map((entry) => {
    const [, name, digits] = /^\s*([A-Za-z]+)\s*=\s*(\d+(?:\.\d+)?)\s*$/.exec(entry) ?? [];
    const value = Number(digits);
    if (!name || !(value > 0)) throw new Error(`"${entry}" is no name=number above zero`);
    return [name, value];
  });
  return Object.freeze(Object.fromEntries(pairs));
}

/** Scheme, host and port of a URL; a path is no part of it. */
export function webOrigin(text: string): string {
  const url = URL.parse(text.trim());
  if (!url || !["http:", "https:"].includes(url.protocol) || url.username || url.password) {
    throw new Error(`"${text}" is no http or https URL`);
  }
  return url.origin;
}

const MAX_ORIGINS = 50;
const MAX_NETWORKS = 50;
const MIN_NETWORK_BITS = 8;

/** `10.1.0.0/16,192.168.7.5` */
export function networks(text: string | undefined): readonly string[] {
  const parts = (text ?? "").split(",").map((part) => part.trim());
  const named = parts.filter((part) => part !== "");
  if (named.length > MAX_NETWORKS) throw new Error(`names more than ${MAX_NETWORKS}`);
  for (const each of named) {
    const network = networkOf(each);
    if (!network) throw new Error(`"${each}" is no network such as 10.1.0.0/16`);
    // Nobody means this machine and the metadata service of its cloud who names what holds everything.
    if (network.bits < MIN_NETWORK_BITS) {
      throw new Error(`"${each}" is too wide (/${MIN_NETWORK_BITS} at least): name the receivers`);
    }
  }
  return Object.freeze(named);
}

export function webOrigins(text: string | undefined): readonly string[] {
  const parts = (text ?? "").split(",").filter((part) => part.trim() !== "");
  if (parts.length > MAX_ORIGINS) throw new Error(`names more than ${MAX_ORIGINS}`);
  return Object.freeze(parts.map(webOrigin));
}
