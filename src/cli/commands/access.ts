import type { Command } from "commander";
import { ApiClient, ApiRefusal } from "../api-client.ts";
import { type CommandEnvironment, callFor, tenantOptions } from "../command-context.ts";
import { readContext, UsageError, writeContext } from "../context.ts";
import { tableOf } from "../output.ts";

/** Signs in with a password and makes a personal key, which takes the password's place. */
async function keyForPerson(
  url: string,
  email: string,
  password: string | undefined,
): Promise<string> {
  if (!password) throw new UsageError("the password is read from VAUTN_PASSWORD");
  const headers = { "content-type": "application/json", "x-requested-with": "vautn" };
  const at = (path: string) => `${url.replace(/\/$/, "")}/api/v1${path}`;
  const signIn = await fetch(at("/auth/sign-in"), {
    method: "POST",
    headers,
    body: JSON.stringify({ email, password }),
  });
  if (!signIn.ok) throw new ApiRefusal(signIn.status, (await signIn.json()) as object);
  const cookie = signIn.headers.get("set-cookie")?.split(";")[0] ?? "";
  const made = await fetch(at("/auth/keys"), {
    method: "POST",
    headers: { ...headers, cookie },
    body: JSON.stringify({ name: "vautn login" }),
  });
  const answer = (await made.json()) as { key: string };
  if (!made.ok) throw new ApiRefusal(made.status, answer as object);
  return answer.key;
}

/** `login`, `whoami`, `tenant …`, `key …`, `audit …`. */
export function accessCommands(program: Command, env: CommandEnvironment): void {
  program
    .command("login <url>")
    .description("sign in; the address and a key are kept for this user")
    .option("--email <email>", "sign in as a person; the password is read from VAUTN_PASSWORD")
    .option("--key <key>", "or with an API key; without either, VAUTN_API_KEY is taken")
    .option("-t, --tenant <id>", "tenant that commands are about by default")
    .action(async (url: string, options: { email?: string; key?: string; tenant?: string }) => {
      if (!URL.canParse(url)) throw new UsageError(`${url} is no URL`);
      const apiKey = options.email
        ? await keyForPerson(url, options.email, env.environment.VAUTN_PASSWORD)
        : (options.key ?? env.environment.VAUTN_API_KEY);
      if (!apiKey)
        throw new UsageError("name --email (with VAUTN_PASSWORD), --key or VAUTN_API_KEY");
      const context = { url, apiKey, tenant: options.tenant };
      const who = await new ApiClient(context).get("/auth/whoami");
      const file = writeContext(env.environment, context);
      env.output.print(`signed in as ${who.actor.name}; kept in ${file}`);
      env.output.print("Next: vautn tenant list");
    });

  program
    .command("whoami")
    .description("who the API key belongs to")
    .option("--json", "print the data as JSON")
    .action(async (options: { json?: boolean }) => {
      const who = await new ApiClient(readContext(env.environment)).get("/auth/whoami");
      if (options.json) env.output.json(who);
      else {
        const tenants = who.tenants.map((t: { id: string; role: string }) => `${t.id} (${t.role})`);
        env.output.print(`${who.actor.name} ${who.platformRole ?? ""}`.trim());
        env.output.print(`tenants: ${tenants.join(", ") || "none"}`);
      }
    });

  const tenant = program.command("tenant").description("tenants of the installation");
  tenant
    .command("list")
    .option("--json", "print the data as JSON")
    .action(async (options: { json?: boolean }) => {
      const items = await new ApiClient(readContext(env.environment)).list("/tenants");
      if (options.json) env.output.json(items);
      else if (items.length === 0) env.output.print("No tenants. Next: vautn tenant create ID");
      else {
        const rows = items.map((item) => [item.id, item.name, item.status]);
        env.output.print(tableOf(["ID", "NAME", "STATUS"], rows));
      }
    });
  tenant
    .command("create <id>")
    .option("--name <name>", "name for people")
    .option("--json", "print the data as JSON")
    .action(async (id: string, options: { name?: string; json?: boolean }) => {
      const body = { id, name: options.name ?? id };
      const made = await new ApiClient(readContext(env.environment)).post("/tenants", body);
      if (options.json) env.output.json(made);
      else env.output.print(`tenant ${id} created. Next: vautn firmware root --tenant ${id} …`);
    });
  tenant
    .command("delete <id>")
    .requiredOption("--yes", "confirm: all that the tenant owns is deleted")
    .action(async (id: string) => {
      const api = new ApiClient(readContext(env.environment));
      await api.request("DELETE", `/tenants/${encodeURIComponent(id)}`);
      env.output.print(`tenant ${id} deleted`);
    });

  const audit = program.command("audit").description("the audit log and its proof");
  tenantOptions(audit.command("list").description("newest entries first"))
    .option("-n, --limit <count>", "entries", Number, 50)
    .action(async (options) => {
      const call = callFor(env, options);
      const items = await call.api.list(call.at("/audit"), options.limit);
      if (call.json) env.output.json(items);
      else {
        const rows = items.map((e) => [e.at, e.actor.name, e.action, e.targetId, e.outcome]);
        env.output.print(tableOf(["AT", "WHO", "ACTION", "TARGET", "OUTCOME"], rows));
      }
    });
  tenantOptions(audit.command("verify").description("recompute the chain of hashes")).action(
    async (options) => {
      const call = callFor(env, options);
      const result = await call.api.get(call.at("/audit/verify"));
      if (call.json) env.output.json(result);
      else if (result.intact) env.output.print(`intact: ${result.entries} entries`);
      if (!result.intact) throw new Error(`the audit log is broken at entry ${result.firstBroken}`);
    },
  );
}
