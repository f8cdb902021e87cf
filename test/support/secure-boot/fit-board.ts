import { type ChildProcess, execFileSync, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import {
  fitKeyNode,
  readKeyCertificate,
  readSigner,
  signFit,
} from "../../../src/secureboot/index.ts";
import { writeKeyFolder } from "../../../src/secureboot/key-folder.ts";

const UBOOT = "/usr/lib/u-boot/qemu_arm64/u-boot.bin";
const BOARD = ["-M", "virt", "-cpu", "cortex-a57", "-m", "256"];
const KEY_NAME = "vautn";
/** Where the FIT images lie in the board's memory; each in so much space. */
const MEMORY = { at: 0x4200_0000, each: 0x20_0000 };
const LOAD_AT = 0x4400_0000 + 0x400_0000;
const STEP_MS = 60_000;
/** What the payload writes to the serial line. */
export const RUNS = "the signed kernel runs";

export function missingFitPackages(): string[] {
  const has = (program: string) => spawnSync(program, ["--version"]).error === undefined;
  return [
    ...(has("qemu-system-aarch64") ? [] : ["qemu-system-arm"]),
    ...(fs.existsSync(UBOOT) ? [] : ["u-boot-qemu"]),
    ...(spawnSync("mkimage", ["-V"]).error ? ["u-boot-tools"] : []),
    ...(has("dtc") ? [] : ["device-tree-compiler"]),
  ];
}

interface FitImageOptions {
  kernel?: string;
  /** Of whom the signature is; none where absent. */
  keys?: string;
  /** Another source of the image. */
  change?(its: string): string;
}

/** What U-Boot on an arm64 board in QEMU makes of FIT images that are signed by `vautn secureboot`. */
export class FitBench {
  readonly #folder: string;

  constructor(folder: string) {
    this.#folder = folder;
    for (const name of ["keys", "others"]) {
      const options = { name, validityYears: 20, passphrase: undefined, nowMs: Date.now() };
      writeKeyFolder(this.#file(name), options);
    }
    fs.writeFileSync(this.#file("Image"), armKernel(RUNS));
    fs.writeFileSync(this.#file("Other"), armKernel("another kernel runs"));
    const tree = this.#file("board.dtb");
    execFileSync("qemu-system-aarch64", [...BOARD, "-M", `dumpdtb=${tree}`], { stdio: "ignore" });
    const source = execFileSync("dtc", ["-q", "-I", "dtb", "-O", "dts", tree], {
      encoding: "utf8",
    });
    this.#compile("board.dtb", source);
    const node = fitKeyNode(readKeyCertificate(this.#file("keys"), "db"), KEY_NAME);
    this.#compile("with-key.dtb", source + node);
  }

  /** A FIT image of a kernel and the board's device tree; signed by the keys of a folder. */
  image(
    name: string,
    { kernel = "Image", keys, change = (its) => its }: FitImageOptions = {},
  ): Buffer {
    const its = this.#file(`${name}.its`);
    const itb = this.#file(`${name}.itb`);
    fs.writeFileSync(its, change(fitSource(kernel)));
    execFileSync("mkimage", ["-f", its, itb], { cwd: this.#folder, stdio: "ignore" });
    if (keys) signFit(itb, readSigner(this.#file(keys), "db", undefined), KEY_NAME);
    return fs.readFileSync(itb);
  }

  /** Starts the board with the images in its memory; `hasKey`: whether its U-Boot knows ours. */
  start(images: readonly Buffer[], { hasKey }: { hasKey: boolean }): FitBoard {
    const loaders = images.flatMap((image, index) => {
      const file = this.#file(`memory-${index}`);
      fs.writeFileSync(file, image);
      const at = MEMORY.at + index * MEMORY.each;
      return ["-device", `loader,file=${file},addr=${at},force-raw=on`];
    });
    const tree = this.#file(hasKey ? "with-key.dtb" : "board.dtb");
    return new FitBoard(["-dtb", tree, ...loaders]);
  }

  #compile(name: string, source: string): void {
    const options = ["-q", "-I", "dts", "-O", "dtb", "-o", this.#file(name)];
    execFileSync("dtc", options, { input: source });
  }

  #file(name: string): string {
    return path.join(this.#folder, name);
  }
}

/** A board at U-Boot's prompt. */
export class FitBoard {
  readonly #process: ChildProcess;
  readonly #ended: Promise<void>;
  #said = "";
  #wake: () => void = () => {};

  constructor(options: readonly string[]) {
    this.#process = spawn(
      "qemu-system-aarch64",
      [
        ...[...BOARD, "-bios", UBOOT, "-nodefaults", "-no-reboot", "-display", "none"],
        ...["-serial", "stdio", "-monitor", "none", ...options],
      ],
      { stdio: ["pipe", "pipe", "ignore"] },
    );
    this.#process.stdout?.on("data", (data: Buffer) => {
      this.#said += data.toString("latin1");
      this.#wake();
    });
    this.#ended = new Promise((resolve) => this.#process.once("close", () => resolve()));
  }

  async prompt(): Promise<void> {
    await this.#until("Hit any key");
    this.#process.stdin?.write("\r");
    await this.#until("=> ");
  }

  /** What is said to a boot of the image at this place, up to the prompt or the payload's line. */
  async boot(index: number): Promise<string> {
    const at = MEMORY.at + index * MEMORY.each;
    this.#said = "";
    this.#process.stdin?.write(`bootm 0x${at.toString(16)}\r`);
    return this.#until("=> ", "kernel runs");
  }

  async end(): Promise<void> {
    this.#process.kill("SIGKILL");
    await this.#ended;
  }

  async #until(...texts: string[]): Promise<string> {
    const limit = Date.now() + STEP_MS;
    while (!texts.some((text) => this.#said.includes(text))) {
      const leftMs = limit - Date.now();
      if (leftMs <= 0) throw new Error(`U-Boot did not come to ${texts}:\n${this.#said}`);
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, leftMs);
        this.#wake = () => {
          clearTimeout(timer);
          resolve();
        };
      });
    }
    return this.#said;
  }
}

/**
 * An arm64 kernel image (Documentation/arch/arm64/booting.rst) that writes a line to the serial port of
 * QEMU's virt board and switches it off (PSCI): what comes after a real one is the same on every board.
 */
function armKernel(line: string): Buffer {
  const code = [
    0x10000141, // adr x1, the line
    0xd2a12002, // movz x2, #0x0900, lsl #16: the PL011
    0x38401420, // ldrb w0, [x1], #1
    0x34000060, // cbz w0, +12
    0xb9000040, // str w0, [x2]
    0x17fffffd, // b -12
    0x52800100, // movz w0, #8
    0x72b08000, // movk w0, #0x8400, lsl #16: SYSTEM_OFF
    0xd4000002, // hvc #0
    0x14000000, // b .
  ];
  const text = Buffer.from(`${line}\r\n\0\0\0\0`);
  const image = Buffer.alloc(64 + code.length * 4 + text.length);
  image.writeUInt32LE(0x14000010, 0); // b +64
  image.writeBigUInt64LE(BigInt(image.length), 16);
  image.writeBigUInt64LE(0xan, 24);
  image.write("ARM\x64", 56, "latin1");
  for (const [index, word] of code.entries()) image.writeUInt32LE(word, 64 + index * 4);
  text.copy(image, 64 + code.length * 4);
  return image;
}

function fitSource(kernel: string): string {
  const hash = `hash { algo = "sha256"; };`;
  return `/dts-v1/;
/ {
	description = "hub";
	#address-cells = <1>;
	images {
		kernel {
			data = /incbin/("${kernel}");
			type = "kernel"; arch = "arm64"; os = "linux"; compression = "none";
			load = <${LOAD_AT}>; entry = <${LOAD_AT}>;
			${hash}
		};
		fdt {
			data = /incbin/("board.dtb");
			type = "flat_dt"; arch = "arm64"; compression = "none";
			${hash}
		};
	};
	configurations {
		default = "conf";
		conf {
			kernel = "kernel"; fdt = "fdt";
			signature {
				algo = "sha256,rsa2048"; key-name-hint = "${KEY_NAME}"; sign-images = "kernel", "fdt";
			};
		};
	};
};
`;
}

/** The images of which only the last is ours, with what U-Boot says to each. */
export function fitImages(bench: FitBench): { name: string; image: Buffer; said: RegExp }[] {
  const good = bench.image("good", { keys: "keys" });
  const other = bench.image("other", { kernel: "Other", keys: "others" });
  const refused = /Failed to verify required signature 'key-vautn'/;
  return [
    {
      name: "one bit of the kernel altered",
      image: withKernelAltered(good),
      said: /Bad hash value for 'hash' hash node in 'kernel'/,
    },
    { name: "signed by a stranger's key of the same name", image: other, said: refused },
    { name: "no signature", image: bench.image("unsigned"), said: refused },
    {
      name: "another kernel under a good signature",
      image: withSignatureOf(good, other),
      said: refused,
    },
    { name: "signed by our key", image: good, said: new RegExp(RUNS) },
  ];
}

/** All of them on one board, for `npm run secureboot`. */
export async function fitMatrix(parent: string): Promise<string> {
  const folder = fs.mkdtempSync(path.join(parent, "fit-"));
  const bench = new FitBench(folder);
  const images = fitImages(bench);
  const board = bench.start(
    images.map(({ image }) => image),
    { hasKey: true },
  );
  try {
    await board.prompt();
    for (const [index, { name, said }] of images.entries()) {
      const answer = await board.boot(index);
      const ran = answer.includes("kernel runs");
      if (!said.test(answer) || ran !== (index === images.length - 1)) {
        throw new Error(`${name}: ${answer}`);
      }
    }
  } finally {
    await board.end();
    fs.rmSync(folder, { recursive: true, force: true });
  }
  return images.map(({ name }) => name).join(", ");
}

/** One bit turned in the middle of the line that the kernel writes. */
function withKernelAltered(image: Buffer): Buffer {
  const altered = Buffer.from(image);
  const at = altered.indexOf(RUNS);
  altered[at + 4] = (altered[at + 4] as number) ^ 1;
  return altered;
}

/**
 * Another kernel under the signature of a good one, its hash made right: what somebody does who has no
 * key. Both images are the same but for the kernel, so that the signature fits where it stood.
 */
function withSignatureOf(good: Buffer, other: Buffer, signatureBytes = 256): Buffer {
  const marker = Buffer.from("sha256,rsa2048\0");
  const valueAt = (image: Buffer) => image.indexOf(marker);
  if (valueAt(good) < 0 || valueAt(other) < 0) throw new Error("there is no signature node");
  const mixed = Buffer.from(other);
  // The value of the property: three words of header before it, at the same place in both.
  for (let at = 0; at + signatureBytes <= good.length; at += 4) {
    if (good.readUInt32BE(at) !== 3 || good.readUInt32BE(at + 4) !== signatureBytes) continue;
    good.copy(mixed, at + 12, at + 12, at + 12 + signatureBytes);
    return mixed;
  }
  throw new Error("the good image is not signed");
}
