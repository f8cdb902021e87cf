import type { Command } from "commander";
import { type Cli, leaf } from "../cli.ts";
import { facts } from "../output.ts";
import { type KeyFolderOptions, passphraseOf, replace, withKeys } from "./secureboot-options.ts";

type FitOptions = KeyFolderOptions & { keyName: string };

/** For boards that U-Boot starts: the db key, as U-Boot reads keys. */
export function fitCommands(secureboot: Command, cli: Cli): void {
  withKeys(
    leaf(secureboot, {
      usage: "fit-key <file>",
      summary: "write the db key as a device tree node for U-Boot's control device tree",
      example: "vautn secureboot fit-key vautn-key.dtsi --keys ./hub-keys",
      data: true,
    }),
  )
    .option("--key-name <name>", "name of the key in the device tree", "vautn")
    .action(async (file: string, options: FitOptions) => {
      const { fitKeyNode, readKeyCertificate } = await import("../../secureboot/index.ts");
      const node = fitKeyNode(readKeyCertificate(options.keys, "db"), options.keyName);
      replace(file, node);
      cli.print(options, { file, keyName: options.keyName }, () =>
        facts([
          ["device tree", file],
          ["key", options.keyName],
        ]),
      );
      cli.note("Include it in the board's device tree and build U-Boot with CONFIG_FIT_SIGNATURE");
    });

  withKeys(
    leaf(secureboot, {
      usage: "fit-sign <image>",
      summary: "sign the configurations of a FIT image in place (needs mkimage of u-boot-tools)",
      example: "vautn secureboot fit-sign hub.itb --keys ./hub-keys",
      data: true,
    }),
  )
    .option("--key-name <name>", "name of the key, as the image's signature nodes hint it", "vautn")
    .action(async (file: string, options: FitOptions) => {
      const { readSigner, signFit } = await import("../../secureboot/index.ts");
      const passphrase = await passphraseOf(cli, options, "db");
      const signer = readSigner(options.keys, "db", passphrase);
      const { configurations } = signFit(file, signer, options.keyName);
      cli.print(options, { file, configurations }, () =>
        facts([
          ["signed", file],
          ...configurations.map(
            ({ name, covers }) =>
              ["configuration", `${name}: ${covers.join(", ")}`] as [string, string],
          ),
        ]),
      );
    });
}
