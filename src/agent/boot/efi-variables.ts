import { spawn } from "node:child_process";
import { readFile, writeFile } from "node:fs/promises";
import path from "node:path";

export const EFI_NAMESPACE = {
  global: "8be4df61-93ca-11d2-aa0d-00e098032b8c",
  imageSecurity: "d719b2cb-3d3a-4596-a3bc-dad00e67656f",
  /** systemd's Boot Loader Interface. */
  loader: "4a67b082-0a4c-41cf-b6c7-440b29bb8c4f",
  vautn: "56415554-4e00-4000-8000-000000000001",
} as const;

const ATTRIBUTE_BYTES = 4;

/** Firmware variables as Linux shows them (Documentation/filesystems/efivarfs.rst). */
export class EfiVariables {
  readonly #directory: string;

  constructor(directory = "/sys/firmware/efi/efivars") {
    this.#directory = directory;
  }

  /** The content; undefined where there is no such variable. */
  async read(name: string, namespace: string): Promise<Buffer | undefined> {
    try {
      const bytes = await readFile(this.#fileOf(name, namespace));
      return bytes.subarray(ATTRIBUTE_BYTES);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return undefined;
      throw error;
    }
  }

  /** A text in UTF-16 up to its NUL. */
  async readText(name: string, namespace: string): Promise<string | undefined> {
    const bytes = await this.read(name, namespace);
    return bytes?.toString("utf16le").replace(/\0.*$/s, "");
  }

  async readFlag(name: string, namespace: string): Promise<boolean> {
    return (await this.read(name, namespace))?.[0] === 1;
  }

  /** One write of attributes and content: the firmware takes it as a whole or refuses it. */
  async write(name: string, namespace: string, attributes: number, data: Buffer): Promise<void> {
    const head = Buffer.alloc(ATTRIBUTE_BYTES);
    head.writeUInt32LE(attributes);
    const file = this.#fileOf(name, namespace);
    // Linux guards variables that a careless program must not remove.
    await run("chattr", ["-i", file]);
    await writeFile(file, Buffer.concat([head, data]));
  }

  #fileOf(name: string, namespace: string): string {
    return path.join(this.#directory, `${name}-${namespace}`);
  }
}

/** Resolves whatever comes of it: where it mattered, the write that follows fails. */
function run(program: string, args: readonly string[]): Promise<void> {
  return new Promise((resolve) => {
    const child = spawn(program, args, { stdio: "ignore" });
    child.once("error", () => resolve());
    child.once("exit", () => resolve());
  });
}
