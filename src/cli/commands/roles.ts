import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { facts, table } from "../output.ts";
import { confirm } from "../prompt.ts";

type Permissions = Operations["createRole"]["body"]["permissions"];
type RoleOptions = CommonOptions & { permission: string[]; description?: string };

const PERMISSION = "what it may do; vautn roles permissions lists them";

/** Sets of permissions under a name of the tenant's own. */
export function roleCommands(program: Command, cli: Cli): void {
  const roles = group(
    program,
    "roles",
    "roles of the tenant, built-in and own",
    "vautn roles list",
  );

  leaf(roles, {
    usage: "list",
    summary: "roles, and how many members and keys have them",
    example: "vautn roles list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listRoles");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["ROLE", "MEMBERS", "KEYS", "KIND", "PERMISSIONS"],
          items.map(({ name, members, keys, isBuiltIn, permissions }) => [
            ...[name, String(members), String(keys), isBuiltIn ? "built-in" : "own"],
            permissions.join(" "),
          ]),
        ),
      "No roles yet. Next: vautn roles create NAME --permission devices.read",
    );
  });

  leaf(roles, {
    usage: "permissions",
    summary: "what roles are made of, and what can be confined to groups",
    example: "vautn roles permissions",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const { permissions } = await cli.session(options).call("listRoles");
    cli.print(options, permissions, () =>
      table(
        ["PERMISSION", "IN GROUPS", "TO"],
        permissions.map(({ name, confinable, meaning }) => [
          name,
          confinable ? "yes" : "whole tenant only",
          meaning,
        ]),
      ),
    );
  });

  const show = (options: CommonOptions, role: Operations["createRole"]["answer"]) =>
    cli.print(options, role, () =>
      facts([
        ["role", role.name],
        ["permissions", role.permissions.join(" ")],
        ["members", String(role.members)],
        ["keys", String(role.keys)],
      ]),
    );

  leaf(roles, {
    usage: "create <name>",
    summary: "make a role of some permissions; you can give those alone that you have",
    example: "vautn roles create site-operator --permission devices.read commands.send",
    data: true,
    tenant: true,
  })
    .requiredOption("--permission <permission...>", PERMISSION)
    .option("--description <text>", "for people")
    .action(async (name: string, options: RoleOptions) => {
      const body = { name, ...bodyOf(options) };
      show(options, await cli.session(options).call("createRole", { body }));
      cli.note(`Next: vautn user set-role ADDRESS ${name} --group GROUP`);
    });

  leaf(roles, {
    usage: "set <name>",
    summary: "replace what a role permits, for everybody who has it",
    example: "vautn roles set site-operator --permission devices.read commands.read",
    data: true,
    tenant: true,
  })
    .requiredOption("--permission <permission...>", PERMISSION)
    .option("--description <text>", "for people")
    .action(async (name: string, options: RoleOptions) => {
      const input = { params: { ownRole: name }, body: bodyOf(options) };
      show(options, await cli.session(options).call("replaceRole", input));
    });

  leaf(roles, {
    usage: "delete <name>",
    summary: "delete a role that nobody has",
    example: "vautn roles delete site-operator",
    tenant: true,
  })
    .option("--yes", "do not ask")
    .action(async (name: string, options: CommonOptions & { yes?: boolean }) => {
      await confirm(cli.io, options.yes, `deleting role ${name}`);
      await cli.session(options).call("deleteRole", { params: { ownRole: name } });
      cli.note(`role ${name} was deleted`);
    });
}

function bodyOf({ permission, description }: RoleOptions) {
  return {
    permissions: permission as Permissions,
    ...(description ? { description } : {}),
  };
}
