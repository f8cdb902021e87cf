import os from "node:os";
import type { Command } from "commander";
import { ApiClient, ApiRefusal } from "../../client/index.ts";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { readContext, writeContext } from "../context.ts";
import { facts, table } from "../output.ts";
import { ask, readAll } from "../prompt.ts";
import { trustPrivateAuthority } from "../session.ts";

interface LoginOptions {
  key?: string;
  keyStdin?: boolean;
  email?: string;
  passwordStdin?: boolean;
  code?: string;
  tenant?: string;
}

const PASSWORD_OTHERWISE = "set VAUTN_PASSWORD, or use --password-stdin";

export function signInCommands(program: Command, cli: Cli): void {
  leaf(program, {
    usage: "login <url>",
    summary: "sign in and remember it: with an API key, or with e-mail and password",
    example: "vautn login http://localhost:8080 --email admin@localhost",
  })
    .option("--key <key>", "API key (vk_…); better from standard input with --key-stdin")
    .option("--key-stdin", "read the API key from standard input")
    .option("--email <address>", "sign in as a person; makes a key for this computer")
    .option("--password-stdin", "read the password from standard input, not VAUTN_PASSWORD")
    .option("--code <code>", "of an authenticator app, or a recovery code")
    .option("-t, --tenant <id>", "tenant to work in")
    .action((url: string, options: LoginOptions) => login(cli, url, options));

  leaf(program, {
    usage: "logout",
    summary: "forget the key that login stored on this computer",
    example: "vautn logout",
  }).action(() => {
    const { url, tenant } = readContext(cli.io.environment);
    writeContext(cli.io.environment, { ...(url ? { url } : {}), ...(tenant ? { tenant } : {}) });
    cli.note("signed out here; the key itself ends with: vautn key revoke --personal ID");
  });

  leaf(program, {
    usage: "whoami",
    summary: "who you are, and in which tenants",
    example: "vautn whoami --json",
    data: true,
  }).action(async (options: CommonOptions) => {
    const me = await cli.session().call("whoami");
    cli.print(options, me, () => {
      const who = facts([
        ["name", me.actor.name],
        ["kind", me.actor.kind],
        ["platform role", me.platformRole],
      ]);
      const without = me.platformRole === "platform-operator" ? "" : "administrator";
      const rows = me.tenants.map(({ id, name, role, groups }) => [
        ...[id, name],
        [role ?? without, ...(groups ? [`in ${groups.join(", ")}`] : [])].join(" "),
      ]);
      const tenants =
        rows.length > 0
          ? table(["TENANT", "NAME", "ROLE"], rows)
          : "No tenants yet. Next: vautn tenant create ID --name NAME\n";
      return `${who}\n${tenants}`;
    });
  });
}

async function login(cli: Cli, address: string, options: LoginOptions): Promise<void> {
  const { environment } = cli.io;
  trustPrivateAuthority(environment);
  const url = parseUrl(address);
  const apiKey = await keyFor(cli, url, options);
  const me = await new ApiClient(url, { apiKey }).call("whoami", {});
  const tenant = options.tenant ?? (me.tenants.length === 1 ? me.tenants[0]?.id : undefined);
  // An administrator of the platform may name a tenant that is yet to be made.
  if (tenant && !me.platformRole && !me.tenants.some(({ id }) => id === tenant)) {
    throw new CliError(`${me.actor.name} is no member of ${tenant}`, {
      next: `choose one of: ${me.tenants.map(({ id }) => id).join(", ") || "(none)"}`,
    });
  }
  const file = writeContext(environment, { url, apiKey, ...(tenant ? { tenant } : {}) });
  cli.note(`signed in as ${me.actor.name}; kept in ${file}`);
  const isOutside = me.platformRole === "platform-operator" && !roleIn(me, tenant);
  if (tenant && isOutside) {
    cli.note(`Next: vautn tenant break-glass --tenant ${tenant} --reason TEXT`);
    return;
  }
  cli.note(nextOf(tenant, me.tenants));
}

function nextOf(tenant: string | undefined, tenants: readonly { id: string }[]): string {
  if (tenant && !tenants.some(({ id }) => id === tenant)) {
    return `there is no tenant ${tenant} yet. Next: vautn tenant create ${tenant} --name NAME`;
  }
  if (tenant) return `tenant ${tenant}. Next: vautn device list`;
  return tenants.length > 0
    ? "Next: vautn tenant list, then vautn tenant use ID"
    : "Next: vautn tenant create ID --name NAME";
}

function roleIn(
  { tenants }: { tenants: readonly { id: string; role: string | null }[] },
  tenant: string | undefined,
): string | null {
  return tenants.find(({ id }) => id === tenant)?.role ?? null;
}

function parseUrl(text: string): string {
  if (!URL.canParse(text) || !/^https?:$/.test(new URL(text).protocol)) {
    throw misuse(`"${text}" is no address`, "give one such as http://localhost:8080");
  }
  return new URL(text).origin;
}

async function keyFor(cli: Cli, url: string, options: LoginOptions): Promise<string> {
  const { io } = cli;
  const given = options.keyStdin
    ? await readAll(io)
    : (options.key ?? io.environment.VAUTN_API_KEY);
  if (given && !options.email) return given.trim();
  if (!options.email && !io.isInteractive) {
    throw misuse("no API key was given", "use --key-stdin, VAUTN_API_KEY, or --email ADDRESS");
  }
  const email = options.email ?? (await ask(io, "e-mail: "));
  const password = options.passwordStdin
    ? (await readAll(io)).replace(/\r?\n$/, "")
    : io.environment.VAUTN_PASSWORD ||
      (await ask(io, "password: ", { hidden: true, unasked: PASSWORD_OTHERWISE }));
  return createKey(cli, url, { email, password, code: options.code });
}

/** Signs in as a person, makes a key for this computer and ends the session again. */
async function createKey(
  cli: Cli,
  url: string,
  person: { email: string; password: string; code?: string | undefined },
): Promise<string> {
  const response = await new ApiClient(url, {}).raw(
    "signIn",
    {},
    {
      headers: { "content-type": "application/json" },
      body: JSON.stringify(person),
    },
  );
  if (!response.ok) {
    const problem = (await response.json()) as { code?: string };
    const wantsCode = problem.code === "second-factor-needed" && !person.code;
    if (!wantsCode || !cli.io.isInteractive) {
      throw new ApiRefusal(response.status, problem as never);
    }
    const code = await ask(cli.io, "code of your authenticator app, or a recovery code: ");
    return createKey(cli, url, { ...person, code });
  }
  const cookie = response.headers.getSetCookie()[0]?.split(";")[0];
  if (!cookie) throw new CliError("the platform gave no session");
  const session = new ApiClient(url, { cookie });
  const name = `command line on ${os.hostname()}`.slice(0, 100);
  const { key } = await session.call("createPersonalKey", { body: { name } });
  await session.call("signOut", {});
  return key;
}
