import fs from "node:fs";
import os from "node:os";
import path from "node:path";

/** Where the command line talks to, and as whom. */
export interface CliContext {
  url: string | undefined;
  apiKey: string | undefined;
  tenant: string | undefined;
}

/** A mistake in how the program was called: exit status 2. */
export class UsageError extends Error {}

function contextFile(environment: NodeJS.ProcessEnv): string {
  const base = environment.XDG_CONFIG_HOME ?? path.join(os.homedir(), ".config");
  return path.join(base, "vautn", "context.json");
}

/** The stored context with `VAUTN_URL`, `VAUTN_API_KEY` and `VAUTN_TENANT` above it. */
export function readContext(environment: NodeJS.ProcessEnv): CliContext {
  const file = contextFile(environment);
  const stored = fs.existsSync(file)
    ? (JSON.parse(fs.readFileSync(file, "utf8")) as Partial<CliContext>)
    : {};
  return {
    url: environment.VAUTN_URL ?? stored.url,
    apiKey: environment.VAUTN_API_KEY ?? stored.apiKey,
    tenant: environment.VAUTN_TENANT ?? stored.tenant,
  };
}

/** Keeps the context for this user alone; the result is the file's name. */
export function writeContext(environment: NodeJS.ProcessEnv, context: CliContext): string {
  const file = contextFile(environment);
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  fs.writeFileSync(file, `${JSON.stringify(context, null, 2)}\n`, { mode: 0o600 });
  fs.chmodSync(file, 0o600);
  return file;
}
