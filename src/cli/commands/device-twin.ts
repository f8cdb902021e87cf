import type { Command } from "commander";
import type { Twin } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf, several } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { readJson } from "../document-files.ts";
import { ago, facts } from "../output.ts";

interface TwinOptions extends CommonOptions {
  set?: string[];
  unset?: string[];
  file?: string;
  replace?: boolean;
}

interface ManyOptions extends TwinOptions {
  query?: string;
}

type Properties = Record<string, unknown>;

/** What devices ought to be, and what they say that they are. */
export function deviceTwinCommands(device: Command, cli: Cli): void {
  changing(
    leaf(device, {
      usage: "twin <device>",
      summary: "what a device ought to be and what it says that it is; with options, change that",
      example: "vautn device twin hub-001 --set report.seconds=30 --unset report.burst",
      data: true,
      tenant: true,
    }).option("--replace", "the file is the whole document, and not a merge patch"),
  ).action(async (id: string, options: TwinOptions) => {
    const session = cli.session(options);
    const params = { device: id };
    const desired = patchOf(options);
    if (!desired && options.replace) throw misuse("nothing to replace it by", "give --file FILE");
    const twin = desired
      ? await session.call(options.replace ? "replaceTwin" : "patchTwin", {
          params,
          body: { desired },
        })
      : await session.call("getTwin", { params });
    cli.print(options, twin, () => describe(id, twin));
  });

  changing(
    leaf(device, {
      usage: "twins [devices...]",
      summary: "change what many devices ought to be: those named, or those that a query finds",
      example: "vautn device twins -q 'tags.site = \"berlin\"' --set report.seconds=30",
      data: true,
      tenant: true,
    }).option("-q, --query <query>", "fleet query"),
  ).action(async (names: string[], options: ManyOptions) => {
    const { query } = options;
    if (names.length > 0 === (query !== undefined)) {
      throw misuse("it is not said which devices", "name them, or give --query QUERY");
    }
    const desired = patchOf(options);
    if (!desired) throw misuse("nothing to change", "give --set, --unset or --file FILE");
    const which = query === undefined ? { devices: names } : { query };
    const done = await cli
      .session(options)
      .call("patchTwins", { params: {}, body: { ...which, desired } });
    cli.print(options, done, () => `${done.changed} of ${done.devices} devices changed`);
  });
}

function changing(command: Command): Command {
  return command
    .option("--set <path=value>", "a property; a value is JSON, or else text", several)
    .option("--unset <path>", "remove a property", several)
    .option("--file <file>", "JSON merge patch (RFC 7396)");
}

function patchOf({ set = [], unset = [], file }: TwinOptions): Properties | undefined {
  if (set.length === 0 && unset.length === 0 && file === undefined) return undefined;
  const patch = file === undefined ? {} : readJson(file);
  if (typeof patch !== "object" || patch === null || Array.isArray(patch)) {
    throw misuse(`${file} is no JSON object`);
  }
  for (const entry of set) {
    const at = entry.indexOf("=");
    if (at < 1) throw misuse(`--set ${entry} is not PATH=VALUE`);
    place(patch as Properties, entry.slice(0, at), parsed(entry.slice(at + 1)));
  }
  for (const path of unset) place(patch as Properties, path, null);
  return patch as Properties;
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return text;
  }
}

function place(patch: Properties, path: string, value: unknown): void {
  const names = path.split(".");
  const last = names.pop() as string;
  let target = patch;
  for (const name of names) {
    const inner = Object.hasOwn(target, name) ? target[name] : undefined;
    const next = typeof inner === "object" && inner !== null ? (inner as Properties) : {};
    define(target, name, next);
    target = next;
  }
  define(target, last, value);
}

/** `__proto__` is a name like any other. */
function define(target: Properties, name: string, value: unknown): void {
  const shared = { enumerable: true, writable: true, configurable: true };
  Object.defineProperty(target, name, { value, ...shared });
}

function describe(id: string, twin: Twin): string {
  const { desired, desiredVersion, appliedVersion, fault, reported } = twin;
  const standing =
    desiredVersion === 0
      ? "nothing is desired"
      : appliedVersion === desiredVersion
        ? "it is what it ought to be"
        : fault?.version === desiredVersion
          ? `it could not: ${fault.message}`
          : "on its way";
  const head = facts([
    ["device", id],
    ["standing", standing],
    [
      "desired",
      `version ${desiredVersion}${twin.desiredAt ? `, ${ago(twin.desiredAt)} by ${twin.desiredBy}` : ""}`,
    ],
    ["in force", `version ${appliedVersion}`],
    ["reported", twin.reportedAt ? `${ago(twin.reportedAt)}` : null],
  ]);
  const show = (document: unknown) => JSON.stringify(document, null, 2);
  return `${head}\ndesired ${show(desired)}\nreported ${show(reported)}\n`;
}
