import type { Command } from "commander";
import { ApiClient, type Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { effectiveContext } from "../context.ts";
import { ago, table } from "../output.ts";
import { readAll } from "../prompt.ts";
import { trustPrivateAuthority } from "../session.ts";

type Body = Operations["createServiceAccount"]["body"];

interface AccountOptions extends CommonOptions {
  issuer: string;
  audience: string;
  claim: string[];
  role: Body["role"];
  scope?: string[];
  lifetime?: string;
}

export function serviceAccountCommands(program: Command, cli: Cli): void {
  const account = group(
    program,
    "service-account",
    "programs elsewhere that come with a token of their own, such as CI",
    "vautn service-account list",
  );

  leaf(account, {
    usage: "list",
    summary: "service accounts, and whose tokens they take",
    example: "vautn service-account list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listServiceAccounts");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["ID", "NAME", "ISSUER", "CONDITIONS", "ROLE", "SCOPES", "LAST USED"],
          items.map((one) => [
            one.id,
            one.name,
            one.issuer,
            one.conditions.map(({ claim, value }) => `${claim}=${value}`).join(" "),
            one.role,
            one.scopes?.join(" ") ?? "all of its role",
            ago(one.lastUsedAt),
          ]),
        ),
      "No service accounts yet. Next: vautn service-account create --help",
    );
  });

  leaf(account, {
    usage: "create <name>",
    summary: "let tokens that fit have keys for a few minutes",
    example:
      "vautn service-account create ci --issuer https://token.actions.githubusercontent.com --audience vautn --claim repository=acme/firmware --claim ref=refs/tags/* --role fleet-engineer",
    data: true,
    tenant: true,
  })
    .requiredOption("--issuer <url>", "issuer, as it stands in tokens")
    .requiredOption("--audience <audience>", "whom the tokens are for (aud)")
    .requiredOption("--claim <claim=value...>", "what the token must say; * stands for any text")
    .option("--role <role>", "viewer, operator, fleet-engineer, administrator, auditor", "viewer")
    .option("--scope <permission...>", "only these permissions of the role")
    .option("--lifetime <seconds>", "how long a key lasts, 60 to 3600", "900")
    .action(async (name: string, options: AccountOptions) => {
      const { issuer, audience, role } = options;
      const conditions = options.claim.map((text) => {
        const [, claim, value] = /^([^=]+)=(.+)$/.exec(text) ?? [];
        if (!claim || !value) throw misuse(`"${text}" is no claim=value`);
        return { claim, value };
      });
      const lifetimeSeconds = Number(options.lifetime);
      if (!Number.isInteger(lifetimeSeconds)) throw misuse("--lifetime takes whole seconds");
      const scopes = options.scope ? { scopes: options.scope as NonNullable<Body["scopes"]> } : {};
      const base = { name, issuer, audience, conditions, role, lifetimeSeconds };
      const session = cli.session(options);
      const made = await session.call("createServiceAccount", { body: { ...base, ...scopes } });
      cli.print(options, made, () => `service account ${name} was created\n`);
      cli.note(`Next, there: vautn service-account token ${session.tenant}/${name}`);
    });

  leaf(account, {
    usage: "delete <id>",
    summary: "take no more tokens, and end the keys that were given",
    example: "vautn service-account delete 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    const input = { params: { serviceAccount: id } };
    await cli.session(options).call("deleteServiceAccount", input);
    cli.note("the service account is gone, and its keys have ended");
  });

  leaf(account, {
    usage: "token <tenant/name>",
    summary: "exchange a token of CI, from standard input, for a key",
    example: 'VAUTN_API_KEY=$(echo "$ID_TOKEN" | vautn service-account token acme/ci)',
    data: true,
  }).action(async (audience: string, options: CommonOptions) => {
    const subject_token = (await readAll(cli.io)).trim();
    if (!subject_token) throw misuse("no token came on standard input");
    const { environment } = cli.io;
    trustPrivateAuthority(environment);
    const { url } = effectiveContext(environment);
    if (!url) throw misuse("which platform?", "set VAUTN_URL");
    const made = await new ApiClient(url, {}).call("exchangeToken", {
      body: {
        grant_type: "urn:ietf:params:oauth:grant-type:token-exchange",
        subject_token,
        subject_token_type: "urn:ietf:params:oauth:token-type:jwt",
        audience,
      },
    });
    cli.print(options, made, () => `${made.access_token}\n`);
    cli.note(`it ends in ${Math.round(made.expires_in / 60)} minutes`);
  });
}
