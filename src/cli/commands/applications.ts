import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { ago, table } from "../output.ts";

type Role = "viewer" | "operator" | "fleet-engineer" | "administrator" | "auditor";
type Issued = Operations["issueApplicationCertificate"]["answer"];
interface IssueOptions extends CommonOptions {
  role: Role;
  csr?: string;
  days: number;
  out: string;
}
interface RevokeOptions extends CommonOptions {
  reason?: "unspecified" | "keyCompromise" | "superseded" | "cessationOfOperation";
}

/** `application`: certificates by which programs of the tenant connect by MQTT. */
export function applicationCommands(program: Command, cli: Cli): void {
  const application = group(
    program,
    "application",
    "certificates by which your programs connect by MQTT",
    "vautn application list",
  );

  leaf(application, {
    usage: "issue <name>",
    summary: "issue a certificate; key and chain are written to files",
    example: "vautn application issue billing --role viewer --out certs",
    data: true,
    tenant: true,
  })
    .option("--role <role>", "viewer, operator, fleet-engineer, administrator, auditor", "viewer")
    .option("--csr <file>", "a PKCS#10 request; its key stays where it is")
    .option("--days <days>", "how long it holds", wholeNumber("--days", 1, 732), 90)
    .option("--out <dir>", "where the files go", ".")
    .action(async (name: string, options: IssueOptions) => {
      const { role, csr, days, out } = options;
      const body = {
        ...{ name, role, lifetimeHours: days * 24 },
        ...(csr ? { csr: fs.readFileSync(csr, "utf8") } : {}),
      };
      const issued = await cli.session(options).call("issueApplicationCertificate", { body });
      const files = writeFiles(out, issued);
      const { keyPem: _key, ...shown } = issued;
      cli.print(options, { ...shown, files }, () => `${files.join("\n")}\n`);
      cli.note(`${name} connects by MQTT on port 8883 with these, as ${role}`);
    });

  leaf(application, {
    usage: "list",
    summary: "certificates of applications, newest first",
    example: "vautn application list",
    data: true,
    tenant: true,
  })
    .option("--cursor <cursor>", "the next page")
    .option("--limit <count>", "how many", wholeNumber("--limit", 1, 500))
    .action(async (options: CommonOptions & { cursor?: string; limit?: number }) => {
      const { cursor, limit } = options;
      const query = { ...(cursor ? { cursor } : {}), ...(limit ? { limit } : {}) };
      const page = await cli.session(options).call("listApplicationCertificates", { query });
      cli.printList(
        options,
        page,
        (items) =>
          table(
            ["SERIAL", "NAME", "ROLE", "STATE", "LAST USED", "UNTIL"],
            items.map((item) => [
              item.serial,
              item.name,
              item.role,
              item.status,
              ago(item.lastUsedAt),
              item.notAfter,
            ]),
          ),
        "No certificates yet. Next: vautn application issue NAME --role viewer",
      );
    });

  leaf(application, {
    usage: "revoke <serial>",
    summary: "end a certificate and its connections at once",
    example: "vautn application revoke 5f3a… --reason keyCompromise",
    tenant: true,
  })
    .option("--reason <reason>", "unspecified, keyCompromise, superseded, cessationOfOperation")
    .action(async (serial: string, options: RevokeOptions) => {
      const { reason } = options;
      const input = { params: { serial }, query: reason ? { reason } : {} };
      await cli.session(options).call("revokeApplicationCertificate", input);
      cli.note("the certificate has ended");
    });
}

/** The key is readable by its owner alone. Names of the files. */
function writeFiles(directory: string, { name, chainPem, rootsPem, keyPem }: Issued): string[] {
  fs.mkdirSync(directory, { recursive: true });
  const write = (suffix: string, text: string, mode: number) => {
    const file = path.join(directory, `${name}.${suffix}`);
    fs.writeFileSync(file, text, { mode });
    return file;
  };
  return [
    write("crt", chainPem, 0o644),
    ...(keyPem ? [write("key", keyPem, 0o600)] : []),
    write("ca.crt", rootsPem, 0o644),
  ];
}
