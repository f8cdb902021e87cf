import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { Cli, CommonOptions } from "../cli.ts";
import { CliError, misuse } from "../cli-error.ts";
import { ask } from "../prompt.ts";

export interface KeyFolderOptions extends CommonOptions {
  keys: string;
  passphraseEnv?: string;
}

const MAX_PROGRAM_BYTES = 512 * 1024 ** 2;

export function withKeys(command: Command): Command {
  return command
    .requiredOption("-k, --keys <folder>", "folder of vautn secureboot keys")
    .option("--passphrase-env <variable>", "variable with the keys' passphrase");
}

/** The passphrase from its variable, from the terminal, or none where nobody could be asked. */
export async function passphraseOf(
  cli: Cli,
  options: { keys?: string; passphraseEnv?: string },
  keyName: string,
): Promise<string | undefined> {
  const { passphraseEnv, keys } = options;
  if (passphraseEnv) {
    const value = cli.io.environment[passphraseEnv];
    if (!value) throw misuse(`${passphraseEnv} is not set`);
    return value;
  }
  const file = path.join(keys ?? ".", `${keyName}.key`);
  const encrypted = fs.existsSync(file) && fs.readFileSync(file, "utf8").includes("ENCRYPTED");
  if (!encrypted) return undefined;
  return ask(cli.io, `Passphrase of ${file}: `, { hidden: true });
}

export function readProgram(file: string): Buffer {
  if (!fs.existsSync(file) || !fs.statSync(file).isFile()) throw misuse(`${file} is no file`);
  if (fs.statSync(file).size > MAX_PROGRAM_BYTES) throw misuse(`${file} is too large`);
  return fs.readFileSync(file);
}

/** As a whole or not at all. */
export function replace(file: string, content: Buffer | string): void {
  const temporary = `${file}.${process.pid}.tmp`;
  try {
    fs.writeFileSync(temporary, content);
    fs.renameSync(temporary, file);
  } catch (error) {
    fs.rmSync(temporary, { force: true });
    throw new CliError(`${file} cannot be written: ${(error as Error).message}`);
  }
}
