import {
  CONFINABLE,
  PERMISSION_MEANINGS,
  PERMISSIONS,
  type Permission,
  TENANT_ROLES,
} from "../src/tenancy/index.ts";

/** What of openapi.json is needed here. */
interface Document {
  paths: Record<string, Record<string, { operationId: string; "x-access"?: string }>>;
}

const HEAD = `# Who may do what

Made by \`npm run build:openapi\` from the table in \`src/tenancy/permissions.ts\` and the routes'
declarations; a test compares. A route that declares nothing does not start. Every request is let in or
refused in one place (\`src/api/access.ts\`), by \`holds\`: who is no member of a tenant is told that there
is none (404), a member whose role or key lacks the permission is told which (403). A key can be confined
to some permissions of its role (\`vautn key create NAME --role ROLE --scope PERMISSION …\`), and nobody
gives what they do not have: neither by a key, nor a membership, nor an application's certificate.

A tenant has roles of its own beside the built-in ones: sets of these permissions
(\`vautn roles create\`). A member or a key can be confined to groups of devices, with any role
(\`vautn user set-role EMAIL ROLE --group NAME\`): such a one sees these devices and acts on them, in lists,
in bulk, in commands, rollouts, measurements and logs, and has of the role only what the column "in groups"
says; the rest concerns the tenant as a whole. The stores enforce it, where they name the tenant:
decision 0920.

An administrator of the platform acts as administrator in every tenant. An operator of the platform sees the
list of tenants and their quotas, and what a tenant holds only by breaking the glass: for a reason, for eight
hours at most, as anything but administrator; both audit logs and an alert say so before anything is seen
(\`vautn tenant break-glass\`).
`;

/** docs/security/permissions.md: roles by permission, and operations by what they ask for. */
export function permissionsDocument(document: Document): string {
  const operations = Object.values(document.paths).flatMap((methods) => Object.values(methods));
  const askingFor = (access: string) =>
    operations
      .filter((operation) => operation["x-access"] === access)
      .map(({ operationId }) => `\`${operationId}\``)
      .sort()
      .join(", ") || "–";
  const names = Object.keys(PERMISSIONS) as Permission[];
  const roles = names.map((name) => {
    const permitted: readonly string[] = PERMISSIONS[name];
    const marks = TENANT_ROLES.map((role) => (permitted.includes(role) ? "yes" : ""));
    const inGroups = CONFINABLE.includes(name) ? "yes" : "";
    return row([`\`${name}\``, PERMISSION_MEANINGS[name], ...marks, inGroups]);
  });
  const general = ["public", "signed-in", "platform-operator", "platform-administrator"];
  const wanted = [...names, ...general].map((name) => row([`\`${name}\``, askingFor(name)]));
  return [
    HEAD,
    "## Roles",
    [heading(["permission", "to", ...TENANT_ROLES, "in groups"]), ...roles].join("\n"),
    "",
    "## Operations",
    [heading(["needs", "operations"]), ...wanted].join("\n"),
    "",
  ].join("\n");
}

function heading(cells: readonly string[]): string {
  return `${row(cells)}\n${row(cells.map(() => "---"))}`;
}

function row(cells: readonly string[]): string {
  return `| ${cells.join(" | ")} |`;
}
