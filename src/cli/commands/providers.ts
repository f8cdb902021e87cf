import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { facts, table } from "../output.ts";
import { ask, confirm, readAll } from "../prompt.ts";

type Settings = Operations["replaceSignInProvider"]["body"];
type Mapping = NonNullable<Settings["roleMappings"]>[number];

interface ProviderOptions extends CommonOptions {
  name?: string;
  issuer?: string;
  clientId?: string;
  secretStdin?: boolean;
  public?: boolean;
  scope?: string[];
  link?: boolean;
  createUsers?: boolean;
  domain?: string[];
  map?: string[];
  enable?: boolean;
}

export function providerCommands(program: Command, cli: Cli): void {
  const provider = group(
    program,
    "provider",
    "OpenID providers that people sign in at",
    "vautn provider list",
  );

  leaf(provider, {
    usage: "list",
    summary: "providers, and whom they let in",
    example: "vautn provider list",
    data: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session().call("listSignInProviders");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["PROVIDER", "NAME", "ISSUER", "LINKS BY E-MAIL", "MAKES USERS", "ROLES", "STATE"],
          items.map((one) => [
            one.id,
            one.name,
            one.issuer,
            one.linksByEmail ? "yes" : "no",
            one.createsUsers ? "yes" : "no",
            one.roleMappings.map((mapping) => `${mapping.tenantId}:${mapping.role}`).join(" "),
            one.enabled ? "in use" : "off",
          ]),
        ),
      "No providers yet. Next: vautn provider add ID --issuer URL --client-id ID",
    );
  });

  settingOptions(
    leaf(provider, {
      usage: "add <provider>",
      summary: "let people sign in at an OpenID provider",
      example: "vautn provider add corp --issuer https://id.example.com --client-id vautn",
      data: true,
    }),
  ).action(async (id: string, options: ProviderOptions) => {
    const { issuer, clientId } = options;
    if (!issuer || !clientId) throw misuse("give --issuer and --client-id");
    const clientSecret = await secretOf(cli, options, true);
    const base = { name: options.name ?? id, issuer, clientId, clientSecret };
    const body = { id, ...base, ...changesOf(options) };
    const created = await cli.session().call("createSignInProvider", { body });
    cli.print(options, created, () => `provider ${id} was added\n`);
    cli.note(`Next: vautn provider check ${id}, which tells what to register there`);
  });

  settingOptions(
    leaf(provider, {
      usage: "set <provider>",
      summary: "change a provider's settings; what is not named stays",
      example: "vautn provider set corp --map groups=fleet:acme:fleet-engineer",
      data: true,
    }),
  )
    .option("--enable", "take it into use again")
    .option("--no-enable", "let nobody in by it; its sessions end")
    .action(async (id: string, options: ProviderOptions) => {
      const session = cli.session();
      const { items } = await session.call("listSignInProviders");
      const known = items.find((one) => one.id === id);
      if (!known) throw new CliError(`there is no provider ${id}`, { next: "vautn provider list" });
      const { id: _, hasSecret: __, createdAt: ___, updatedAt: ____, ...settings } = known;
      const secret = await secretOf(cli, options, false);
      const body: Settings = {
        ...settings,
        ...changesOf(options),
        ...(options.name ? { name: options.name } : {}),
        ...(options.issuer ? { issuer: options.issuer } : {}),
        ...(options.clientId ? { clientId: options.clientId } : {}),
        ...(secret === undefined ? {} : { clientSecret: secret }),
      };
      const input = { params: { provider: id }, body };
      const changed = await session.call("replaceSignInProvider", input);
      cli.print(options, changed, () => `provider ${id} was changed\n`);
    });

  leaf(provider, {
    usage: "check <provider>",
    summary: "read the provider's description, and tell what to register there",
    example: "vautn provider check corp",
    data: true,
  }).action(async (id: string, options: CommonOptions) => {
    const input = { params: { provider: id } };
    const checked = await cli.session().call("checkSignInProvider", input);
    cli.print(options, checked, () =>
      facts([
        ["issuer", checked.issuer],
        ["redirect URI to register", checked.redirectUri],
        ["sign-out URI to register", checked.signOutUri],
        ["authorization endpoint", checked.authorizationEndpoint],
        ["signing out there", checked.endSessionEndpoint ?? "not offered"],
        ["PKCE announced", checked.supportsPkce ? "yes" : "no"],
        ["signatures", checked.algorithms.join(" ")],
      ]),
    );
  });

  leaf(provider, {
    usage: "remove <provider>",
    summary: "forget a provider, its identities, sessions and the roles that it gave",
    example: "vautn provider remove corp --yes",
  })
    .option("--yes", "do not ask")
    .action(async (id: string, options: { yes?: boolean }) => {
      await confirm(cli.io, options.yes, `removing provider ${id}`);
      await cli.session().call("deleteSignInProvider", { params: { provider: id } });
      cli.note(`provider ${id} was removed`);
    });
}

function settingOptions(command: Command): Command {
  return command
    .option("--name <name>", "what its button says (default: the id)")
    .option("--issuer <url>", "issuer, as it stands in tokens")
    .option("--client-id <id>", "what the provider calls this platform")
    .option("--secret-stdin", "read the client's secret from standard input")
    .option("--public", "a client without a secret: PKCE alone")
    .option("--scope <scope...>", "what is asked for (default: openid email profile)")
    .option("--link", "a verified e-mail address leads to its user (default)")
    .option("--no-link", "only identities that were named beforehand")
    .option("--create-users", "somebody new becomes a user where --map gives a role")
    .option("--no-create-users", "nobody new becomes a user (default)")
    .option("--domain <domain...>", "only e-mail addresses of these domains")
    .option("--map <claim=value:tenant:role...>", "who has the value in the claim has the role");
}

function changesOf(options: ProviderOptions): Partial<Settings> {
  const { scope, link, createUsers, domain, map, enable } = options;
  return {
    ...(scope ? { scopes: scope } : {}),
    ...(link === undefined ? {} : { linksByEmail: link }),
    ...(createUsers === undefined ? {} : { createsUsers: createUsers }),
    ...(domain ? { emailDomains: domain } : {}),
    ...(map ? { roleMappings: map.map(mappingOf) } : {}),
    ...(enable === undefined ? {} : { enabled: enable }),
  };
}

function mappingOf(text: string): Mapping {
  const [, claim, value, tenantId, role] = /^([^=]+)=(.+):([^:]+):([^:]+)$/.exec(text) ?? [];
  if (!claim || !value || !tenantId || !role) {
    throw misuse(`"${text}" is no mapping`, "write it as groups=fleet:acme:fleet-engineer");
  }
  return { claim, value, tenantId, role: role as Mapping["role"] };
}

/** Undefined: leave it as it is. */
async function secretOf(cli: Cli, options: ProviderOptions, isNew: boolean) {
  if (options.public) return null;
  if (options.secretStdin) return (await readAll(cli.io)).replace(/\r?\n$/, "");
  if (!isNew) return undefined;
  if (!cli.io.isInteractive) throw misuse("give --secret-stdin, or --public for a public client");
  return ask(cli.io, "client secret: ", { hidden: true });
}
