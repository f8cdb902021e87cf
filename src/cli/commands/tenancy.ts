import type { Command } from "commander";
import type { Tenant } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, pairs } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { readContext, writeContext } from "../context.ts";
import { ago, facts, table } from "../output.ts";
import { ask, readAll } from "../prompt.ts";
import { breakGlassCommand } from "./break-glass.ts";
import { endCommands } from "./tenant-end.ts";
import { usageCommand } from "./usage.ts";

export function tenancyCommands(program: Command, cli: Cli): void {
  tenantCommands(program, cli);
  userCommands(program, cli);
}

function storageClassOf(text: string): "shared" | "separate" {
  if (text === "shared" || text === "separate") return text;
  throw misuse(`the storage is shared or separate, not "${text}"`);
}

function movedOf({ done, of, copiedAt }: NonNullable<Tenant["storageMove"]>): string {
  if (copiedAt !== null) return "moved: what it was copied from is being removed";
  return of === 0 ? "about to be moved" : `moving: ${done} of ${of} tables`;
}

function tenantCommands(program: Command, cli: Cli): void {
  const tenant = group(program, "tenant", "tenants of the platform", "vautn tenant list");

  leaf(tenant, {
    usage: "list",
    summary: "tenants that you can see",
    example: "vautn tenant list",
    data: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session().call("listTenants");
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["TENANT", "NAME", "STATUS", "STORAGE", "CREATED"],
          items.map(({ id, name, status, storageClass, storageMove, createdAt, deletesAt }) => [
            ...[id, name, deletesAt ? `${status}, ends ${deletesAt}` : status],
            storageMove ? `${storageClass}, ${movedOf(storageMove)}` : storageClass,
            ago(createdAt),
          ]),
        ),
      "No tenants yet. Next: vautn tenant create ID --name NAME",
    );
  });

  leaf(tenant, {
    usage: "create <id>",
    summary: "make a tenant, with a certificate authority of its own",
    example: 'vautn tenant create acme --name "Acme Corp"',
    data: true,
  })
    .option("--name <name>", "name for people (default: the id)")
    .option(
      "--storage <class>",
      "shared, or separate: partitions and a folder of its own",
      "shared",
    )
    .action(async (id: string, options: CommonOptions & { name?: string; storage: string }) => {
      const storageClass = storageClassOf(options.storage);
      const body = { id, name: options.name ?? id, storageClass };
      const created = await cli.session().call("createTenant", { body });
      cli.print(options, created, () => `tenant ${id} was created\n`);
      cli.note(`Next: vautn tenant use ${id}, then vautn device enroll ID`);
    });

  leaf(tenant, {
    usage: "set <setting=value...>",
    summary: "change settings of the tenant, such as how long certificates last",
    example: "vautn tenant set certificateLifetimeHours=720 --tenant acme",
    data: true,
    tenant: true,
  }).action(async (entries: string[], options: CommonOptions) => {
    const settings: Record<string, number> = {};
    for (const [name, text] of Object.entries(pairs(entries, "a setting"))) {
      settings[name] = Number(text);
      if (!/^\d+$/.test(text)) throw misuse(`${name} takes a whole number, not "${text}"`);
    }
    const session = cli.session(options);
    const updated = await session.call("updateTenant", { body: { settings } });
    cli.print(options, updated.settings, () =>
      facts(Object.entries(updated.settings).map(([name, value]) => [name, String(value)])),
    );
  });

  leaf(tenant, {
    usage: "storage <id> <class>",
    summary: "give a tenant partitions and a folder of its own (separate), or not (shared)",
    example: "vautn tenant storage acme separate",
    data: true,
  }).action(async (id: string, text: string, options: CommonOptions) => {
    const body = { storageClass: storageClassOf(text) };
    const moving = await cli.session({ tenant: id }).call("moveTenantStorage", { body });
    cli.print(options, moving, () => `what ${id} has is being moved: it is suspended until then\n`);
    cli.note("Next: vautn tenant list, which says how far it is");
  });

  breakGlassCommand(tenant, cli);
  usageCommand(tenant, cli);

  leaf(tenant, {
    usage: "use <id>",
    summary: "work in this tenant from now on",
    example: "vautn tenant use acme",
  }).action(async (id: string) => {
    const { tenants } = await cli.session().call("whoami");
    if (!tenants.some((known) => known.id === id)) {
      throw new CliError(`you are no member of ${id}`, { next: "vautn tenant list" });
    }
    writeContext(cli.io.environment, { ...readContext(cli.io.environment), tenant: id });
    cli.note(`tenant ${id}. Next: vautn device list`);
  });

  endCommands(tenant, cli);
}

function userCommands(program: Command, cli: Cli): void {
  const user = group(program, "user", "people", "vautn user list");

  leaf(user, {
    usage: "list",
    summary: "members of the tenant, or everyone with --all",
    example: "vautn user list --tenant acme",
    data: true,
    tenant: true,
  })
    .option("--all", "everyone on the platform")
    .action(async (options: CommonOptions & { all?: boolean }) => {
      const session = cli.session(options);
      const page = await session.call(options.all ? "listUsers" : "listMembers");
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["USER", "E-MAIL", "NAME", "ROLE"],
            items.map(({ id, email, name, platformRole, memberships }) => [
              id,
              email,
              name,
              [
                platformRole,
                ...memberships.map(
                  ({ tenantId, role, groups }) =>
                    `${tenantId}:${role}${groups ? `@${groups.join(",")}` : ""}`,
                ),
              ]
                .filter(Boolean)
                .join(" "),
            ]),
          ),
        "No members yet. Next: vautn user create --email ADDRESS --name NAME --role ROLE",
      );
    });

  leaf(user, {
    usage: "create",
    summary: "make a user; in a tenant with --role, or as an administrator of the platform",
    example: "vautn user create --email eve@example.com --name Eve --role operator",
    data: true,
    tenant: true,
  })
    .requiredOption("--email <address>", "what the user signs in with")
    .requiredOption("--name <name>", "name for people")
    .option("--role <role>", "viewer, operator, fleet-engineer, administrator or auditor")
    .option("--platform-administrator", "may do everything on this platform")
    .option("--platform-operator", "runs it, and sees a tenant's data by breaking the glass only")
    .option("--password-stdin", "read the password from standard input")
    .action((options: CreateUserOptions) => createUser(cli, options));

  leaf(user, {
    usage: "set-role <email> <role>",
    summary: "make a user a member of the tenant, or change the role; built-in or of your own",
    example: "vautn user set-role eve@example.com operator --group berlin",
    tenant: true,
  })
    .option("--group <name...>", "the devices of these groups alone")
    .action(async (email: string, role: string, options: CommonOptions & { group?: string[] }) => {
      const groups = options.group ? { groups: options.group } : {};
      await cli.session(options).call("setMember", { body: { email, role, ...groups } });
      const where = options.group ? `, for the devices of ${options.group.join(", ")}` : "";
      cli.note(`${email} is ${role} now${where}`);
    });

  leaf(user, {
    usage: "remove <user>",
    summary: "end a user's membership of the tenant",
    example: "vautn user remove 0199…",
    tenant: true,
  }).action(async (id: string, options: CommonOptions) => {
    await cli.session(options).call("removeMember", { params: { user: id } });
    cli.note("the membership has ended");
  });

  leaf(user, {
    usage: "disable <user>",
    summary: "end a user's sessions and keys for good",
    example: "vautn user disable 0199…",
  }).action(async (id: string) => {
    await cli.session().call("disableUser", { params: { user: id } });
    cli.note("the user is disabled");
  });

  leaf(user, {
    usage: "link <user> <provider> <subject>",
    summary: "name the subject that a user is at a sign-in provider",
    example: "vautn user link 0199… corp 248289761001",
  }).action(async (id: string, provider: string, subject: string) => {
    const input = { params: { user: id, provider }, body: { subject } };
    await cli.session().call("setUserIdentity", input);
    cli.note(`the user signs in at ${provider} as ${subject} now`);
  });

  leaf(user, {
    usage: "unlink <user> <provider>",
    summary: "take a user's identity at a provider away, with its sessions",
    example: "vautn user unlink 0199… corp",
  }).action(async (id: string, provider: string) => {
    await cli.session().call("removeUserIdentity", { params: { user: id, provider } });
    cli.note(`the user signs in at ${provider} no longer`);
  });

  leaf(user, {
    usage: "identities <user>",
    summary: "which subjects at providers a user is",
    example: "vautn user identities 0199…",
    data: true,
  }).action(async (id: string, options: CommonOptions) => {
    const page = await cli.session().call("listUserIdentities", { params: { user: id } });
    cli.printList(
      options,
      page,
      (items) =>
        table(
          ["PROVIDER", "SUBJECT", "E-MAIL", "LAST USED"],
          items.map((one) => [one.provider, one.subject, one.email, ago(one.lastUsedAt)]),
        ),
      "No identities yet. Next: vautn user link USER PROVIDER SUBJECT",
    );
  });
}

type Role = "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";

interface CreateUserOptions extends CommonOptions {
  email: string;
  name: string;
  role?: Role;
  platformAdministrator?: boolean;
  platformOperator?: boolean;
  passwordStdin?: boolean;
}

async function createUser(cli: Cli, options: CreateUserOptions): Promise<void> {
  const session = cli.session(options);
  const password = options.passwordStdin
    ? (await readAll(cli.io)).replace(/\r?\n$/, "")
    : await ask(cli.io, "password (12 characters or more): ", { hidden: true });
  const { email, name, role } = options;
  const platformRole = platformRoleOf(options);
  const user = await session.call("createUser", {
    body: {
      email,
      name,
      password,
      ...(platformRole ? { platformRole } : {}),
      ...(role ? { memberships: [{ tenantId: session.tenant, role }] } : {}),
    },
  });
  cli.print(options, user, () => `user ${user.email} was created\n`);
  cli.note(`Next: they sign in at the console, or: vautn login URL --email ${user.email}`);
}

function platformRoleOf({ platformAdministrator, platformOperator }: CreateUserOptions) {
  if (platformAdministrator && platformOperator) {
    throw misuse("choose one of --platform-administrator and --platform-operator");
  }
  if (platformAdministrator) return "platform-administrator" as const;
  return platformOperator ? ("platform-operator" as const) : undefined;
}
