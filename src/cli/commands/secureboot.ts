import type { Command } from "commander";
import { type Cli, type CommonOptions, group, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { facts } from "../output.ts";
import { ask } from "../prompt.ts";
import { configurationCommand } from "./secureboot-configuration.ts";
import { fitCommands } from "./secureboot-fit.ts";
import { imageCommand } from "./secureboot-image.ts";
import {
  type KeyFolderOptions,
  passphraseOf,
  readProgram,
  replace,
  withKeys,
} from "./secureboot-options.ts";

type KeysOptions = CommonOptions & {
  name: string;
  years: number;
  passphraseEnv?: string;
  unencrypted?: boolean;
};

const counter = (name: string) => wholeNumber(name, 0, 4_294_967_295);

/** All of it works on the machine that holds the keys: no platform and no network is asked. */
export function securebootCommands(program: Command, cli: Cli): void {
  const secureboot = group(
    program,
    "secureboot",
    "the verified boot chain: keys, signatures, images, configurations",
    "vautn secureboot keys ./hub-keys --name 'Acme hub'",
  );
  keysCommand(secureboot, cli);
  signCommand(secureboot, cli);
  imageCommand(secureboot, cli);
  revokeCommand(secureboot, cli);
  floorCommand(secureboot, cli);
  configurationCommand(secureboot, cli);
  fitCommands(secureboot, cli);
}

function keysCommand(secureboot: Command, cli: Cli): void {
  leaf(secureboot, {
    usage: "keys <folder>",
    summary: "make PK, KEK, db and floor keys with certificates and the files to enrol them",
    example: "vautn secureboot keys ./hub-keys --name 'Acme hub'",
    data: true,
  })
    .requiredOption("--name <text>", "whose keys these are, for the certificates")
    .option("--years <count>", "until the certificates end", wholeNumber("--years", 1, 50), 20)
    .option("--passphrase-env <variable>", "encrypt with the passphrase in this variable")
    .option("--unencrypted", "leave the keys readable: for tests only")
    .action(async (folder: string, options: KeysOptions) => {
      const { writeKeyFolder } = await import("../../secureboot/index.ts");
      const passphrase = await newPassphrase(cli, options);
      const made = writeKeyFolder(folder, {
        ...{ name: options.name, validityYears: options.years, passphrase },
        nowMs: Date.now(),
      });
      cli.print(options, { folder, ...made }, () =>
        facts([
          ["folder", folder],
          ["owner", made.owner],
          ["files", made.files.join(" ")],
        ]),
      );
      cli.note("Keep PK.key and KEK.key offline. Next: vautn secureboot image");
    });
}

async function newPassphrase(cli: Cli, options: KeysOptions): Promise<string | undefined> {
  if (options.unencrypted) return undefined;
  if (options.passphraseEnv) return passphraseOf(cli, options, "");
  if (!cli.io.isInteractive) {
    throw misuse("the keys have to be encrypted", "give --passphrase-env VARIABLE");
  }
  const first = await ask(cli.io, "New passphrase: ", { hidden: true });
  const second = await ask(cli.io, "Once more: ", { hidden: true });
  if (first !== second || first === "") throw misuse("the passphrases differ, or are empty");
  return first;
}

function signCommand(secureboot: Command, cli: Cli): void {
  withKeys(
    leaf(secureboot, {
      usage: "sign <program>",
      summary: "sign an EFI program (loader, unified kernel image) with the db key",
      example: "vautn secureboot sign systemd-bootx64.efi --keys ./hub-keys --out BOOTX64.EFI",
      data: true,
    }),
  )
    .option("--out <file>", "write here (default: in place)")
    .action(async (file: string, options: KeyFolderOptions & { out?: string }) => {
      const { authenticodeHash, readSigner, signEfiProgram } = await import(
        "../../secureboot/index.ts"
      );
      const program = readProgram(file);
      const passphrase = await passphraseOf(cli, options, "db");
      const signed = signEfiProgram(program, readSigner(options.keys, "db", passphrase));
      const out = options.out ?? file;
      replace(out, signed);
      const data = { file: out, hash: authenticodeHash(signed).toString("hex") };
      cli.print(options, data, () =>
        facts([
          ["signed", data.file],
          ["hash", data.hash],
        ]),
      );
    });
}

function revokeCommand(secureboot: Command, cli: Cli): void {
  withKeys(
    leaf(secureboot, {
      usage: "revoke <programs...>",
      summary: "make the dbx write after which firmware refuses these signed programs",
      example: "vautn secureboot revoke hub-1.0.efi --keys ./hub-keys --out revoke-1.0.auth",
      data: true,
    }),
  )
    .requiredOption("--out <file>", "signed write, for --variable of `secureboot configuration`")
    .action(async (programs: string[], options: KeyFolderOptions & { out: string }) => {
      const { authenticodeHash, readOwner, readSigner, revocation } = await import(
        "../../secureboot/index.ts"
      );
      const hashes = programs.map((file) => authenticodeHash(readProgram(file)));
      const kek = readSigner(options.keys, "KEK", await passphraseOf(cli, options, "KEK"));
      const write = revocation(hashes, readOwner(options.keys), kek, new Date());
      replace(options.out, write.payload);
      const data = { file: options.out, hashes: hashes.map((hash) => hash.toString("hex")) };
      cli.print(options, data, () =>
        facts([
          ["file", data.file],
          ...data.hashes.map((hash): [string, string] => ["hash", hash]),
        ]),
      );
      cli.note("It cannot be taken back: make sure that every device has something newer to start");
    });
}

function floorCommand(secureboot: Command, cli: Cli): void {
  withKeys(
    leaf(secureboot, {
      usage: "floor",
      summary: "make the signed write that raises the floors of systems and configurations",
      example:
        "vautn secureboot floor --keys ./hub-keys --security 3 --configuration 12 --out floor.auth",
      data: true,
    }),
  )
    .requiredOption("--security <n>", "lowest security counter", counter("--security"))
    .requiredOption("--configuration <n>", "lowest version", counter("--configuration"))
    .requiredOption("--out <file>", "signed write, for --variable of `secureboot configuration`")
    .action(
      async (
        options: KeyFolderOptions & { security: number; configuration: number; out: string },
      ) => {
        const { floorWrite, readSigner } = await import("../../secureboot/index.ts");
        const { security, configuration, out } = options;
        const signer = readSigner(options.keys, "floor", await passphraseOf(cli, options, "floor"));
        replace(out, floorWrite({ security, configuration }, signer, new Date()).payload);
        cli.print(options, { file: out, security, configuration }, () =>
          facts([
            ["file", out],
            ["security counter", security],
            ["configuration", configuration],
          ]),
        );
      },
    );
}
