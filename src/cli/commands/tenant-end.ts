import fs from "node:fs";
import { Readable } from "node:stream";
import { pipeline } from "node:stream/promises";
import type { ReadableStream } from "node:stream/web";
import type { Command } from "commander";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { facts } from "../output.ts";
import { confirm } from "../prompt.ts";
import { verifyArchive } from "../tenant-archive.ts";

const EXPORT_TIMEOUT_MS = 12 * 3_600_000;

/** What is taken out of a tenant, and its end. */
export function endCommands(tenant: Command, cli: Cli): void {
  leaf(tenant, {
    usage: "export <file>",
    summary: "all that the tenant owns, as a tar archive with the hash of every file; no secrets",
    example: "vautn tenant export acme.tar --tenant acme",
    data: true,
    tenant: true,
  }).action(async (file: string, options: CommonOptions) => {
    const partial = `${file}.partial`;
    await exportTo(cli, options, partial);
    const archive = await verifyArchive(partial);
    fs.renameSync(partial, file);
    cli.print(options, { file, ...archive }, () =>
      facts([
        ["file", file],
        ["files", String(archive.files)],
        ["bytes", archive.sizeBytes.toLocaleString("en")],
      ]),
    );
  });

  leaf(tenant, {
    usage: "delete <id>",
    summary: "suspend a tenant, and delete everything of it when the grace is over",
    example: "vautn tenant delete acme --grace-hours 24",
    data: true,
  })
    .option("--yes", "do not ask")
    .option("--grace-hours <hours>", "until then it can be restored", "168")
    .action(async (id: string, options: CommonOptions & { yes?: boolean; graceHours: string }) => {
      await confirm(cli.io, options.yes, `deleting tenant ${id} with everything in it`);
      const query = { confirm: id, graceHours: Number(options.graceHours) };
      const end = await cli.session({ tenant: id }).call("deleteTenant", { query });
      cli.print(options, end, () => `tenant ${id} is suspended and ends at ${end.deletesAt}\n`);
      cli.note(`Undo: vautn tenant restore ${id}. Then: vautn tenant receipt ${id}`);
    });

  leaf(tenant, {
    usage: "restore <id>",
    summary: "undo the deletion of a tenant while its grace lasts",
    example: "vautn tenant restore acme",
  }).action(async (id: string) => {
    await cli.session({ tenant: id }).call("restoreTenant");
    cli.note(`tenant ${id} is active again`);
  });

  leaf(tenant, {
    usage: "receipt <id>",
    summary: "the signed receipt of a tenant's deletion",
    example: "vautn tenant receipt acme --json",
    data: true,
  }).action(async (id: string, options: CommonOptions) => {
    const input = { params: { deletedTenant: id } };
    const answer = await cli.session().call("getDeletionReceipt", input);
    const { removed, left, deletedAt } = answer.receipt.signed;
    const sum = (counts: Record<string, number>) =>
      String(Object.values(counts).reduce((total, count) => total + count, 0));
    cli.print(options, answer, () =>
      facts([
        ["tenant", id],
        ["deleted", deletedAt],
        ["rows removed", `${sum(removed.postgresql)} control, ${sum(removed.clickhouse)} series`],
        ["blobs removed", `${removed.blobs.count}, ${removed.blobs.sizeBytes} bytes`],
        ["left in PostgreSQL", JSON.stringify(left.postgresql)],
        ["left in ClickHouse", JSON.stringify(left.clickhouse)],
        ["left of its own blobs", String(left.ownBlobs ?? 0)],
        ["signed by", answer.receipt.signatures[0]?.keyid ?? "nobody"],
      ]),
    );
  });
}

async function exportTo(cli: Cli, options: CommonOptions, file: string): Promise<void> {
  const session = cli.session(options);
  const input = session.fill("exportTenant", {});
  const init = { signal: AbortSignal.timeout(EXPORT_TIMEOUT_MS) };
  const response = await session.client.raw("exportTenant", input, init);
  if (!response.ok || !response.body) {
    throw new CliError(`the export was refused: ${response.status} ${await response.text()}`);
  }
  const source = Readable.fromWeb(response.body as ReadableStream);
  await pipeline(source, fs.createWriteStream(file, { mode: 0o600 }));
}
