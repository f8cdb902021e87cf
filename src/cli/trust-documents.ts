import type { Command } from "commander";
import { ApiRefusal } from "../client/index.ts";
import type { Envelope, RootMetadata, TargetsMetadata } from "../protocol/index.ts";
import type { Cli, CommonOptions } from "./cli.ts";
import { readDocument } from "./document-files.ts";

export interface TrustOptions {
  root?: string;
  targets?: string;
}

/** Where trust root and delegations come from: files on a machine without network. */
export function trustOptions(command: Command): Command {
  return command
    .option("--root <file>", "trust root (default: the platform's)")
    .option("--targets <file>", "delegations (default: the platform's; none with --root)");
}

/** The documents by which signatures are judged; null where there are none. */
export async function readTrust(
  cli: Cli,
  options: CommonOptions & TrustOptions,
): Promise<{
  root: Envelope<RootMetadata> | null;
  targets: Envelope<TargetsMetadata> | null;
}> {
  const fromFile = (file: string | undefined) => (file ? readDocument(file) : undefined);
  const root = fromFile(options.root) ?? (await fromPlatform(cli, options, "getTrustRoot"));
  const targets =
    fromFile(options.targets) ??
    (options.root ? null : await fromPlatform(cli, options, "getTargets"));
  return { root, targets } as Awaited<ReturnType<typeof readTrust>>;
}

async function fromPlatform(
  cli: Cli,
  options: CommonOptions,
  operation: "getTrustRoot" | "getTargets",
): Promise<unknown> {
  try {
    return await cli.session(options).call(operation);
  } catch (error) {
    if (error instanceof ApiRefusal && error.code === "not-found") return null;
    throw error;
  }
}
