import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { momentOption } from "../moments.ts";
import { ago, table } from "../output.ts";

type CreateKey = Operations["createKey"]["body"];

type KeyOptions = CommonOptions & {
  personal?: boolean;
  role: string;
  group?: string[];
  scope?: string[];
  expires?: string;
};

export function keyCommands(program: Command, cli: Cli): void {
  const key = group(program, "key", "API keys of the tenant, or your own", "vautn key list");

  leaf(key, {
    usage: "list",
    summary: "keys, and when they were last used",
    example: "vautn key list",
    data: true,
    tenant: true,
  })
    .option("--personal", "your own keys")
    .action(async (options: KeyOptions) => {
      const session = cli.session(options);
      const page = await session.call(options.personal ? "listPersonalKeys" : "listKeys");
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["KEY", "NAME", "ROLE", "GROUPS", "SCOPES", "LAST USED", "EXPIRES", "STATE"],
            items.map((item) => [
              item.id,
              item.name,
              item.role,
              item.groups?.join(" ") ?? "",
              item.scopes?.join(" ") ?? (item.role ? "all of its role" : ""),
              ago(item.lastUsedAt),
              item.expiresAt,
              item.revokedAt ? "revoked" : "in use",
            ]),
          ),
        "No keys yet. Next: vautn key create NAME --role viewer",
      );
    });

  leaf(key, {
    usage: "create <name>",
    summary: "make a key; it is shown this once",
    example: "vautn key create ci --role fleet-engineer --expires 90d",
    data: true,
    tenant: true,
  })
    .option("--personal", "a key that acts as you")
    .option("--role <role>", "a built-in role or one of your own: vautn roles list", "viewer")
    .option("--group <name...>", "the devices of these groups alone")
    .option("--scope <permission...>", "only these permissions of the role, e.g. firmware.publish")
    .option(
      "--expires <time>",
      "when it ends: ISO 8601, or such as 90d",
      momentOption("--expires", "after"),
    )
    .action(async (name: string, options: KeyOptions) => {
      const session = cli.session(options);
      const expiry = options.expires ? { expiresAt: options.expires } : {};
      if (options.personal && options.scope) throw misuse("a personal key has no scopes");
      if (options.personal && options.group) throw misuse("a personal key has its person's groups");
      const groups = options.group ? { groups: options.group } : {};
      const scopes = options.scope ? { scopes: options.scope as CreateKey["scopes"] } : {};
      const created = options.personal
        ? await session.call("createPersonalKey", { body: { name, ...expiry } })
        : await session.call("createKey", {
            body: { name, role: options.role, ...groups, ...scopes, ...expiry },
          });
      cli.print(options, created, () => `${created.key}\n`);
      cli.note("keep it: it is not shown again. Use it as VAUTN_API_KEY");
    });

  leaf(key, {
    usage: "revoke <key>",
    summary: "end a key at once",
    example: "vautn key revoke 0199…",
    tenant: true,
  })
    .option("--personal", "one of your own keys")
    .action(async (id: string, options: KeyOptions) => {
      const input = { params: { key: id } };
      const session = cli.session(options);
      if (options.personal) await session.call("revokePersonalKey", input);
      else await session.call("revokeKey", input);
      cli.note("the key has ended");
    });
}
