import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { BackupContents } from "../../platform/index.ts";
import { type Cli, type CommonOptions, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { ago, bytes, facts } from "../output.ts";
import { type ProgressBar, progressBar } from "../progress-bar.ts";

interface BackupOptions extends CommonOptions {
  data?: string;
  withKey?: boolean;
}

interface RestoreOptions extends CommonOptions {
  data?: string;
  keyFile?: string;
  check?: boolean;
}

export function backupCommands(program: Command, cli: Cli, version: string): void {
  leaf(program, {
    usage: "backup <folder>",
    summary: "copy the data folder of a stopped platform, with a checksum of every file",
    example: "vautn backup /mnt/backups/2026-05-01 --data /srv/vautn",
    data: true,
  })
    .option("--data <directory>", "the platform's data folder (default ./data)")
    .option("--with-key", "put master.key in, too: whoever has the copy has every key then")
    .action((folder: string, options: BackupOptions) => backup(cli, folder, options, version));

  leaf(program, {
    usage: "restore <folder>",
    summary: "put a backup back into a data folder that is empty, or only --check it",
    example: "vautn restore /mnt/backups/2026-05-01 --data /srv/vautn --key-file master.key",
    data: true,
  })
    .option("--data <directory>", "the data folder to make")
    .option("--key-file <file>", "the master key, where the backup does not hold it")
    .option("--check", "compare every file with its checksum and write nothing")
    .action((folder: string, options: RestoreOptions) => restore(cli, folder, options));
}

async function backup(
  cli: Cli,
  folder: string,
  options: BackupOptions,
  version: string,
): Promise<void> {
  const dataDirectory = path.resolve(options.data ?? cli.io.environment.VAUTN_DATA ?? "./data");
  const { backUp } = await import("../../platform/index.ts");
  const contents = await withBar(cli, "backup", (onProgress) =>
    backUp({
      ...{ dataDirectory, target: path.resolve(folder), version, onProgress },
      withKey: options.withKey ?? false,
    }),
  );
  cli.print(options, summaryOf(contents), () => describe(contents, path.resolve(folder)));
  if (!contents.hasKey && contents.keyFingerprint) {
    const key = path.join(dataDirectory, "master.key");
    cli.note(`The master key is not in it. Keep ${key} somewhere else: nothing opens without it.`);
  }
  cli.note(`Next: vautn restore ${folder} --check, from where it is kept`);
}

async function restore(cli: Cli, folder: string, options: RestoreOptions): Promise<void> {
  if (options.check ? options.data : !options.data) {
    throw misuse("give either --data DIRECTORY or --check");
  }
  const masterKey = options.keyFile && readKeyFile(options.keyFile);
  const environmentKey = cli.io.environment.VAUTN_MASTER_KEY;
  const dataDirectory = options.data && path.resolve(options.data);
  const { restoreBackup } = await import("../../platform/index.ts");
  const contents = await withBar(cli, options.check ? "check" : "restore", (onProgress) =>
    restoreBackup({
      ...{ source: path.resolve(folder), onProgress },
      ...(dataDirectory ? { dataDirectory } : {}),
      ...(masterKey ? { masterKey } : {}),
      ...(environmentKey ? { environmentKey } : {}),
    }),
  );
  cli.print(options, summaryOf(contents), () => describe(contents, path.resolve(folder)));
  cli.note(
    options.data
      ? `Next: vautn up --data ${options.data}`
      : `every file is as it was written ${ago(contents.createdAt)}`,
  );
}

function readKeyFile(file: string): string {
  try {
    return fs.readFileSync(file, "utf8");
  } catch (error) {
    throw misuse(`--key-file: ${(error as Error).message}`);
  }
}

async function withBar<Result>(
  cli: Cli,
  title: string,
  work: (onProgress: (done: number, all: number) => void) => Promise<Result>,
): Promise<Result> {
  const bar: ProgressBar = await progressBar(cli, title);
  try {
    return await work((done, all) => bar.update(`${bytes(done)} of ${bytes(all)}`, done / all));
  } finally {
    bar.end();
  }
}

function summaryOf(contents: BackupContents) {
  const { format, createdAt, version, hasKey, sizeBytes, files } = contents;
  return { format, createdAt, version, hasKey, sizeBytes, files: files.length };
}

function describe(contents: BackupContents, folder: string): string {
  return facts([
    ["backup", folder],
    ["made", `${contents.createdAt} by Vautn ${contents.version}`],
    ["files", `${contents.files.length}, ${bytes(contents.sizeBytes)}`],
    ["master key", contents.hasKey ? "in it" : "kept apart"],
  ]);
}
