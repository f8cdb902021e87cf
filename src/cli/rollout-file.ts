import type { RolloutPolicyInput } from "../client/index.ts";
import type { CommonOptions } from "./cli.ts";
import { misuse } from "./cli-error.ts";
import { releaseId } from "./commands/releases.ts";
import { readText } from "./document-files.ts";
import type { Session } from "./session.ts";

export interface SpecOptions extends CommonOptions {
  file?: string;
  name?: string;
  release?: string;
  query?: string;
}

export interface RolloutSpec {
  name?: string;
  releaseId: string;
  query?: string;
  policy?: RolloutPolicyInput;
}

const KEYS: readonly string[] = ["name", "release", "releaseId", "query", "policy"];

/** What the file says, with the command line's word above it. */
export async function readSpec(session: Session, options: SpecOptions): Promise<RolloutSpec> {
  const file = options.file ? await parseFile(options.file) : {};
  const release = options.release ?? file.release ?? file.releaseId;
  if (typeof release !== "string") {
    throw misuse("which release?", "give --release PRODUCT@VERSION, or release: in the file");
  }
  const name = options.name ?? file.name;
  const query = options.query ?? file.query;
  return {
    releaseId: await releaseId(session, release),
    ...(name === undefined ? {} : { name: String(name) }),
    ...(query === undefined ? {} : { query: String(query) }),
    ...(file.policy === undefined ? {} : { policy: file.policy as RolloutPolicyInput }),
  };
}

async function parseFile(file: string): Promise<Record<string, unknown>> {
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(readText(file), { maxAliasCount: 10 });
  } catch (error) {
    if ((error as Error).name === "CliError") throw error;
    throw misuse(`${file} is not YAML: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw misuse(`${file} describes no rollout`, `it needs ${KEYS.join(", ")}`);
  }
  const unknown = Object.keys(value).find((key) => !KEYS.includes(key));
  if (unknown) throw misuse(`${file}: "${unknown}" is not known`, `it takes ${KEYS.join(", ")}`);
  return value as Record<string, unknown>;
}
