import type { Command } from "commander";
import { ApiClient } from "./api-client.ts";
import { type CliContext, readContext, UsageError } from "./context.ts";
import type { Output } from "./output.ts";

/** What every command works with. */
export interface CommandEnvironment {
  environment: NodeJS.ProcessEnv;
  output: Output;
}

export interface TenantCall {
  api: ApiClient;
  tenant: string;
  /** Path below the tenant. */
  at: (path: string) => string;
  json: boolean;
  output: Output;
  context: CliContext;
}

/** `--tenant` and `--json`, as the commands about one tenant have them. */
export function tenantOptions(command: Command): Command {
  return command
    .option("-t, --tenant <id>", "tenant (default: that of the context or VAUTN_TENANT)")
    .option("--json", "print the data as JSON");
}

export function callFor(
  env: CommandEnvironment,
  options: { tenant?: string; json?: boolean },
): TenantCall {
  const context = readContext(env.environment);
  const tenant = options.tenant ?? context.tenant;
  if (!tenant)
    throw new UsageError("no tenant is named. Next: add --tenant ID or set VAUTN_TENANT");
  return {
    api: new ApiClient(context),
    tenant,
    at: (path) => `/tenants/${encodeURIComponent(tenant)}${path}`,
    json: options.json ?? false,
    output: env.output,
    context,
  };
}
