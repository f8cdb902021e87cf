import { execFileSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { openFileStorage } from "../../../src/agent/index.ts";
import { writeDocument } from "../../../src/agent/offline/atomic-file.ts";
import { randomId } from "../../../src/kernel/index.ts";
import {
  type Configuration,
  type Envelope,
  type RootMetadata,
  signDocument,
} from "../../../src/protocol/index.ts";
import {
  AUTHENTICATED,
  type BootKeyName,
  type BootSigner,
  buildDisk,
  certificateList,
  commandLine,
  type DiskImage,
  fillVariableStore,
  generateBootKey,
  hashList,
  initialRamdisk,
  NAMESPACE,
  type RootImage,
  readBootSigner,
  type StoredVariable,
  signEfiProgram,
  unifiedKernel,
  writeRoot,
  writeSlotImage,
} from "../../../src/secureboot/index.ts";
import { makeKey, makeOnlineKeys, makeRoot, type TrustKeys } from "../signing.ts";
import { buildDeviceSystem } from "./device-system.ts";
import { Machine } from "./machine.ts";

export const TENANT = "acme";
const LOADER = "/usr/lib/systemd/boot/efi/systemd-bootx64.efi";
const STUB = "/usr/lib/systemd/boot/efi/linuxx64.efi.stub";
const VARIABLES = "/usr/share/OVMF/OVMF_VARS_4M.fd";
const OWNER = "56415554-4e00-4000-8000-000000000001";
const ESP = 1024 * 1024;
/** When the keys came into the firmware; signed writes are later. */
const FACTORY = new Date(Date.UTC(2026, 0, 1));

export interface System {
  version: string;
  /** Signed, as it stands on the system partition. */
  kernel: Buffer;
  root: RootImage;
}

/** Kernel and modules of a Debian kernel package, installed or unpacked. */
export function findKernel(): { kernel: string; modules: string } | undefined {
  const places = [process.env.VAUTN_TEST_KERNEL, "/var/cache/vautn-test-kernel", "/"];
  for (const place of places.filter((one) => one !== undefined)) {
    const boot = path.join(place, "boot");
    const names = fs.existsSync(boot) ? fs.readdirSync(boot) : [];
    for (const name of names.filter((one) => one.startsWith("vmlinuz-")).sort()) {
      const modules = path.join(place, "lib/modules", name.slice("vmlinuz-".length));
      if (fs.existsSync(modules)) return { kernel: path.join(boot, name), modules };
    }
  }
  return undefined;
}

/** Everything to make machines from: keys, a signed loader, kernels, root images. */
export class Lab {
  readonly folder: string;
  readonly signers: Record<BootKeyName, BootSigner>;
  readonly trustKeys: TrustKeys = { root: makeKey(), release: [makeKey()] };
  readonly trustRoot: Envelope<RootMetadata>;
  readonly loader: Buffer;
  readonly #kernel: Buffer;
  readonly #modules: string;
  #ramdisk: Buffer | undefined;
  #recovery: Buffer | undefined;

  constructor(folder: string, trustRoot?: (keys: TrustKeys) => Envelope<RootMetadata>) {
    const found = findKernel();
    if (!found) throw new Error("there is no kernel to boot");
    this.folder = folder;
    this.#kernel = fs.readFileSync(found.kernel);
    this.#modules = found.modules;
    this.signers = {
      PK: makeSigner("PK"),
      KEK: makeSigner("KEK"),
      db: makeSigner("db"),
      floor: makeSigner("floor"),
    };
    this.trustRoot = trustRoot
      ? trustRoot(this.trustKeys)
      : makeRoot(TENANT, this.trustKeys, makeOnlineKeys());
    this.loader = signEfiProgram(fs.readFileSync(LOADER), this.signers.db);
    // `npm test` and `npm run secureboot` have built it; whoever calls vitest by hand may not.
    const repository = path.resolve(import.meta.dirname, "../../..");
    if (!fs.existsSync(path.join(repository, "dist/vautn-agent.mjs"))) {
      execFileSync(process.execPath, ["tools/build-agent.ts"], {
        cwd: repository,
        stdio: "ignore",
      });
    }
  }

  root(
    name: string,
    options: { selfTestStatus?: number; dies?: boolean; factory?: boolean } = {},
  ): RootImage {
    return buildDeviceSystem({ folder: this.folder, name, trustRoot: this.trustRoot, ...options });
  }

  system(
    version: string,
    root: RootImage,
    options: { counter?: number; signer?: BootSigner | null } = {},
  ): System {
    const { verity } = root;
    this.#ramdisk ??= initialRamdisk({ modules: this.#modules, extraModules: [] });
    const facts = {
      version,
      securityCounter: options.counter ?? 1,
      root: { hash: verity.rootHash, salt: verity.salt, dataBlocks: verity.dataBlocks },
      role: "system" as const,
    };
    const kernel = this.#unified(commandLine(facts, EXTRA), this.#ramdisk);
    const signer = options.signer === undefined ? this.signers.db : options.signer;
    return { version, root, kernel: signer ? signEfiProgram(kernel, signer) : kernel };
  }

  recovery(): Buffer {
    const facts = { version: "1.0.0", securityCounter: 1, root: null, role: "recovery" as const };
    this.#recovery ??= signEfiProgram(
      this.#unified(
        commandLine(facts, EXTRA),
        initialRamdisk({ modules: this.#modules, extraModules: [], loader: this.loader }),
      ),
      this.signers.db,
    );
    return this.#recovery;
  }

  #unified(line: string, initrd: Buffer): Buffer {
    const stub = fs.readFileSync(STUB);
    return unifiedKernel({ stub, kernel: this.#kernel, initrd, commandLine: line, name: "hub" });
  }

  configuration(version: number, change: Partial<Configuration> = {}): Envelope<Configuration> {
    const created = new Date().toISOString();
    const expires = new Date(Date.now() + 86_400_000).toISOString();
    const signed: Configuration = {
      ...{ _type: "configuration", specVersion: 1, tenant: TENANT, product: "hub", version },
      ...{ createdAt: created, expires, settings: { interval: version } },
      scripts: [{ name: "note", run: "boot", content: `echo "SCRIPT ${version}" > /dev/console` }],
      firmwareVariables: [],
      ...change,
    };
    return signDocument(signed, this.trustKeys.release);
  }

  /** The firmware's variables as a machine leaves the factory with them. */
  variables(
    disk: DiskImage,
    options: { keys?: boolean; forbidden?: Buffer[]; floors?: [number, number] } = {},
  ): string {
    const { PK, KEK, db } = this.signers;
    const list = (name: string, namespace: string, data: Buffer): StoredVariable => ({
      ...{ name, namespace, data, attributes: AUTHENTICATED, at: FACTORY },
    });
    const forbidden = hashList(options.forbidden ?? [], OWNER);
    const keys = [
      list("db", NAMESPACE.imageSecurity, certificateList([db.certificate], OWNER)),
      ...(forbidden.length > 0 ? [list("dbx", NAMESPACE.imageSecurity, forbidden)] : []),
      list("KEK", NAMESPACE.global, certificateList([KEK.certificate], OWNER)),
      list("PK", NAMESPACE.global, certificateList([PK.certificate], OWNER)),
    ];
    const file = path.join(this.folder, `${randomId()}.vars`);
    const template = fs.readFileSync(VARIABLES);
    const floors = Buffer.alloc(8);
    floors.writeUInt32LE(options.floors?.[0] ?? 0, 0);
    floors.writeUInt32LE(options.floors?.[1] ?? 0, 4);
    const stored = [
      ...((options.keys ?? true) ? keys : []),
      ...(options.floors ? [list("VautnFloor", OWNER, floors)] : []),
      ...disk.bootVariables,
    ];
    fs.writeFileSync(file, fillVariableStore(template, stored));
    return file;
  }

  /** A disk whose slot A holds `system`, with what the data partition begins with. */
  async disk(
    system: System,
    data: {
      provisioning?: string;
      factory?: boolean;
      documents?: Record<string, unknown>;
      dataBytes?: number;
    } = {},
  ): Promise<{ file: string; image: DiskImage }> {
    const file = path.join(this.folder, `${randomId()}.img`);
    const folder = `${file}.files`;
    fs.mkdirSync(path.join(folder, "agent"), { recursive: true });
    if (data.provisioning) {
      fs.cpSync(data.provisioning, path.join(folder, "provisioning"), { recursive: true });
    } else this.#provision(path.join(folder, "provisioning"));
    if (data.factory) {
      const manifest = JSON.stringify(this.manifest(system));
      fs.writeFileSync(path.join(folder, "factory.manifest.json"), manifest);
    }
    const storage = await openFileStorage(path.join(folder, "agent"));
    for (const [name, document] of Object.entries(data.documents ?? {})) {
      await writeDocument(storage, name, document);
    }
    const image = buildDisk({
      ...{ out: file, name: "hub", loader: this.loader, kernel: system.kernel },
      ...{ recovery: this.recovery(), root: system.root, data: folder },
      rootBytes: system.root.sizeBytes + 4 * 1024 * 1024,
      dataBytes: data.dataBytes ?? 24 * 1024 * 1024,
    });
    fs.rmSync(folder, { recursive: true });
    return { file, image };
  }

  slotImage(system: System): string {
    const file = path.join(this.folder, `${system.version}.slot`);
    writeSlotImage(file, system.kernel, system.root);
    return file;
  }

  manifest(system: System, securityCounter = 1): unknown {
    const file = this.slotImage(system);
    const sizeBytes = fs.statSync(file).size;
    const sha256 = execFileSync("sha256sum", [file], { encoding: "utf8" }).slice(0, 64);
    fs.rmSync(file);
    return signDocument(
      {
        ...{ _type: "release", specVersion: 1, tenant: TENANT, product: "hub" },
        ...{ version: system.version, hardwareRevisions: ["a"], securityCounter },
        minimumSourceVersion: null,
        image: { name: "hub.slot", sha256, sizeBytes },
        createdAt: FACTORY.toISOString(),
        expires: new Date(Date.now() + 86_400_000).toISOString(),
      },
      this.trustKeys.release,
    );
  }

  /** An identity that no platform knows: for machines that are to stay alone. */
  #provision(folder: string): void {
    const pair = generateBootKey({ commonName: "alone", validityYears: 1, nowMs: Date.now() });
    fs.mkdirSync(folder, { recursive: true });
    const write = (name: string, text: string) => fs.writeFileSync(path.join(folder, name), text);
    write("key.pem", pair.privateKeyPem);
    write("certificate.pem", pair.certificatePem);
    write("root.pem", pair.certificatePem);
    write("trust-root.json", JSON.stringify(this.trustRoot));
    write(
      "device.json",
      JSON.stringify({
        ...{ tenant: TENANT, device: "hub-1", product: "hub", hardwareRevision: "a" },
        ...{ mqttUrl: "mqtts://10.0.2.2:1", httpsUrl: "https://10.0.2.2:1" },
      }),
    );
  }

  start(disk: string, variables: string, network = false): Machine {
    return new Machine({ disk, variables, network });
  }
}

/** A starved emulator looks to the kernel like a board without a timer. */
const EXTRA = "console=ttyS0 quiet panic=5 no_timer_check";

function makeSigner(name: string): BootSigner {
  const pair = generateBootKey({
    commonName: `Vautn test ${name}`,
    validityYears: 10,
    nowMs: FACTORY.getTime(),
  });
  return readBootSigner({ key: pair.privateKeyPem, certificate: pair.certificatePem });
}

/** Puts a kernel, and its root image where it has one of its own, into a slot of a disk. */
export function fillSlot(
  disk: { file: string; image: DiskImage },
  entry: string,
  system: { kernel: Buffer; root?: RootImage },
): void {
  esp.write(disk.file, `EFI/Linux/${entry}`, system.kernel);
  if (!system.root) return;
  const partition = disk.image.partitions.find(({ name }) => name === "vautn-root-b");
  const handle = fs.openSync(disk.file, "r+");
  try {
    writeRoot(handle, system.root, partition?.firstByte ?? 0);
  } finally {
    fs.closeSync(handle);
  }
}

/** The system partition of a disk image that is not running. */
export const esp = {
  list: (disk: string, folder = "EFI/Linux") =>
    mtools("mdir", disk, ["-b", `::${folder}`])
      .split("\n")
      .map((line) => path.basename(line.trim()))
      .filter((name) => name !== "" && name !== "."),
  write(disk: string, name: string, content: Buffer): void {
    const file = `${disk}.part`;
    fs.writeFileSync(file, content);
    mtools("mcopy", disk, ["-o", file, `::${name}`]);
    fs.rmSync(file);
  },
  read(disk: string, name: string): Buffer {
    const file = `${disk}.part`;
    mtools("mcopy", disk, ["-n", `::${name}`, file]);
    const content = fs.readFileSync(file);
    fs.rmSync(file);
    return content;
  },
  rename: (disk: string, from: string, to: string) =>
    mtools("mren", disk, [`::${from}`, `::${to}`]),
};

function mtools(program: string, disk: string, args: string[]): string {
  return execFileSync(program, ["-i", `${disk}@@${ESP}`, ...args], {
    encoding: "utf8",
    env: { ...process.env, MTOOLS_SKIP_CHECK: "1" },
  });
}

/** The same with one bit turned, in the middle of what `find` names or of the whole. */
export function withOneBitTurned(bytes: Buffer, at = Math.floor(bytes.length / 2)): Buffer {
  const copy = Buffer.from(bytes);
  copy[at] = (copy[at] as number) ^ 1;
  return copy;
}
