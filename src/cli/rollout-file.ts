import { isDeepStrictEqual } from "node:util";
import type { Rollout, RolloutPolicyInput } from "../client/index.ts";
import type { CommonOptions } from "./cli.ts";
import { misuse } from "./cli-error.ts";
import { releaseId } from "./commands/releases.ts";
import type { Session } from "./session.ts";
import { readYaml } from "./yaml-file.ts";

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

const MAX_FAULTS = 10;
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
  const value = await readYaml(file, `it needs ${KEYS.join(", ")}`);
  const unknown = Object.keys(value).find((key) => !KEYS.includes(key));
  if (unknown) throw misuse(`${file}: "${unknown}" is not known`, `it takes ${KEYS.join(", ")}`);
  await checkFile(file, value);
  return value;
}

/** Everything that the published schema has against the file, each with its place. */
async function checkFile(file: string, value: object): Promise<void> {
  const [{ Compile }, { ROLLOUT_FILE_SCHEMA }] = await Promise.all([
    import("typebox/compile"),
    import("../client/index.ts"),
  ]);
  const schema = Compile(ROLLOUT_FILE_SCHEMA as object);
  if (schema.Check(value)) return;
  const faults = schema
    .Errors(value)
    // Said once: of the name itself, not of the object around it as well.
    .filter(({ keyword }) => keyword !== "additionalProperties")
    .slice(0, MAX_FAULTS)
    .map(({ instancePath, message, keyword }) => {
      const why = keyword === "boolean" ? "is not known" : message;
      return `  ${instancePath || "/"} ${why}`;
    });
  throw misuse(`${file} is no rollout:\n${faults.join("\n")}`, "vautn rollout schema");
}

/** The file that would make the rollout: what was ordered, by names that mean something elsewhere. */
export async function exportRollout(rollout: Rollout): Promise<string> {
  const { stringify } = await import("yaml");
  const { name, release, query, policy } = rollout;
  return stringify({ name, release: `${release.product}@${release.version}`, query, policy });
}

/** Where a running rollout differs from what is wanted; of the policy only what the file names. */
export function differences(rollout: Rollout, wanted: RolloutSpec): Difference[] {
  const found: Difference[] = [];
  compare("name", rollout.name, wanted.name, found);
  compare("releaseId", rollout.releaseId, wanted.releaseId, found);
  compare("query", rollout.query, wanted.query ?? "", found);
  compare("policy", rollout.policy, wanted.policy, found);
  return found;
}

export interface Difference {
  path: string;
  running: unknown;
  wanted: unknown;
}

function compare(path: string, running: unknown, wanted: unknown, found: Difference[]): void {
  // The platform keeps the parts of a policy in an order of its own.
  if (wanted === undefined || isDeepStrictEqual(running, wanted)) return;
  if (isObject(running) && isObject(wanted)) {
    for (const [key, value] of Object.entries(wanted)) {
      compare(`${path}.${key}`, running[key], value, found);
    }
  } else if (isListOf(running) && isListOf(wanted) && running.length === wanted.length) {
    for (const [index, value] of wanted.entries()) {
      compareAll(`${path}[${index}]`, running[index] as object, value, found);
    }
  } else {
    found.push({ path, running: running ?? null, wanted });
  }
}

/** Parts of a list: what the file does not say of one is a difference too. */
function compareAll(path: string, running: object, wanted: object, found: Difference[]): void {
  for (const key of new Set([...Object.keys(running), ...Object.keys(wanted)])) {
    const [left, right] = [running, wanted].map((part) => (part as Record<string, unknown>)[key]);
    if (isDeepStrictEqual(left, right)) continue;
    found.push({ path: `${path}.${key}`, running: left ?? null, wanted: right ?? null });
  }
}

function isListOf(value: unknown): value is Record<string, unknown>[] {
  return Array.isArray(value) && value.every(isObject);
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}
