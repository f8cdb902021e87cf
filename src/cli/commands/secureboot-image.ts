import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import type { StoredVariable, SystemOptions } from "../../secureboot/index.ts";
import { type Cli, leaf, wholeNumber } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { bytes, facts } from "../output.ts";
import { progressBar } from "../progress-bar.ts";
import {
  type KeyFolderOptions,
  passphraseOf,
  readProgram,
  replace,
  withKeys,
} from "./secureboot-options.ts";

interface ImageOptions extends KeyFolderOptions {
  kernel: string;
  modules: string;
  root: string;
  version: string;
  securityCounter: number;
  commandLine: string;
  module?: string;
  data?: string;
  dataSize: number;
  rootSize: number;
  out: string;
  slotOnly?: boolean;
  qemuVariables?: string;
}

const MIB = 1024 ** 2;
const MAX_MIB = 1024 * 1024;

/** From kernel and root files to a signed slot image and the disk that devices are made with. */
export function imageCommand(secureboot: Command, cli: Cli): void {
  withKeys(
    leaf(secureboot, {
      usage: "image <name>",
      summary: "build the signed slot image of a version, and a disk with A/B slots and recovery",
      example:
        "vautn secureboot image hub --keys ./hub-keys --kernel vmlinuz --modules lib/modules/6.1.0" +
        " --root ./rootfs --version 1.0.0 --out ./images",
      data: true,
    }),
  )
    .requiredOption("--kernel <file>", "Linux kernel with an EFI stub")
    .requiredOption("--modules <folder>", "its lib/modules/<version>")
    .requiredOption("--root <source>", "root file system: a squashfs image or a folder")
    .requiredOption("--version <version>", "version of the system")
    .option("--security-counter <n>", "rises when older systems must not come back", counter, 1)
    .option("--command-line <text>", "kernel options after our own", "quiet panic=10")
    .option("--module <names>", "further kernel modules of the board, comma-separated")
    .option("--data <folder>", "what the data partition begins with")
    .option("--data-size <mib>", "its size", mib("--data-size"), 256)
    .option("--root-size <mib>", "space for each root slot", mib("--root-size"), 256)
    .option("--slot-only", "only the slot image, for an update")
    .option("--qemu-variables <template>", "also a variable store with the keys in, from this one")
    .requiredOption("--out <folder>", "folder for what is built")
    .action((name: string, options: ImageOptions) => build(cli, name, options));
}

const counter = wholeNumber("--security-counter", 0, 4_294_967_295);
const mib = (name: string) => wholeNumber(name, 1, MAX_MIB);

async function build(cli: Cli, name: string, options: ImageOptions): Promise<void> {
  const secureboot = await import("../../secureboot/index.ts");
  if (!/^[A-Za-z0-9][A-Za-z0-9._-]{0,62}$/.test(name)) throw misuse(`"${name}" is no name`);
  if (!fs.existsSync(options.modules)) throw misuse(`${options.modules} is no folder`);
  fs.mkdirSync(options.out, { recursive: true });
  const at = (suffix: string) => path.join(options.out, `${name}-${options.version}${suffix}`);
  const bar = await progressBar(cli, name);
  try {
    bar.update("keys", 0.02);
    const db = secureboot.readSigner(options.keys, "db", await passphraseOf(cli, options, "db"));
    const files = secureboot.readLoader();
    const loader = secureboot.signEfiProgram(files.loader, db);
    bar.update("root image", 0.1);
    const root = secureboot.makeRootImage(options.root, at(".squashfs"));
    bar.update("kernel", 0.4);
    const system: SystemOptions = {
      ...{ name, db, version: options.version, securityCounter: options.securityCounter },
      ...{ kernel: readProgram(options.kernel), modules: options.modules },
      extraModules: options.module?.split(",").map((one) => one.trim()) ?? [],
      commandLine: options.commandLine,
    };
    const kernel = secureboot.systemKernel(system, files.stub, root);
    replace(at(".efi"), kernel);
    bar.update("slot image", 0.5);
    secureboot.writeSlotImage(at(".slot"), kernel, root);
    const built: Record<string, string> = { slotImage: at(".slot"), kernel: at(".efi") };
    if (!options.slotOnly) {
      const disk = secureboot.buildDisk({
        ...{ out: at(".disk.img"), name, loader, kernel, root },
        recovery: secureboot.recoveryKernel(system, files.stub, loader),
        rootBytes: options.rootSize * MIB,
        dataBytes: options.dataSize * MIB,
        data: options.data,
        onProgress: (step, share) => bar.update(step, 0.6 + 0.4 * share),
      });
      built.disk = at(".disk.img");
      built.bootEntries = writeBootEntries(at(".boot-entries"), disk.bootVariables);
      if (options.qemuVariables) {
        const template = readProgram(options.qemuVariables);
        const variables = [...enrolled(secureboot, options.keys), ...disk.bootVariables];
        replace(at(".vars.fd"), secureboot.fillVariableStore(template, variables));
        built.variables = at(".vars.fd");
      }
    }
    bar.end();
    const hash = secureboot.authenticodeHash(kernel).toString("hex");
    const data = { ...built, rootHash: root.verity.rootHash, kernelHash: hash };
    cli.print(options, data, () =>
      facts([
        ...Object.entries(built).map(([what, file]): [string, string] => [what, sized(file)]),
        ["root hash", root.verity.rootHash],
        ["kernel hash", hash],
      ]),
    );
    cli.note(`Next: vautn firmware build ${at(".slot")} --product NAME --version VERSION …`);
  } finally {
    bar.end();
  }
}

function sized(file: string): string {
  const found = fs.statSync(file);
  return found.isFile() ? `${file}, ${bytes(found.size)}` : file;
}

/** One file a variable, to be copied into /sys/firmware/efi/efivars of the board at the factory. */
function writeBootEntries(folder: string, variables: readonly StoredVariable[]): string {
  fs.mkdirSync(folder, { recursive: true });
  for (const { name, namespace, attributes, data } of variables) {
    const head = Buffer.alloc(4);
    head.writeUInt32LE(attributes);
    replace(path.join(folder, `${name}-${namespace}`), Buffer.concat([head, data]));
  }
  return folder;
}

function enrolled(
  secureboot: typeof import("../../secureboot/index.ts"),
  keys: string,
): StoredVariable[] {
  const owner = secureboot.readOwner(keys);
  const at = new Date(Date.UTC(2020, 0, 1));
  const { NAMESPACE, AUTHENTICATED } = secureboot;
  const names = [
    ["db", NAMESPACE.imageSecurity],
    ["KEK", NAMESPACE.global],
    ["PK", NAMESPACE.global],
  ] as const;
  return names.map(([name, namespace]) => {
    const certificate = secureboot.readKeyCertificate(keys, name);
    const data = secureboot.certificateList([certificate], owner);
    return { name, namespace, attributes: AUTHENTICATED, data, at };
  });
}
