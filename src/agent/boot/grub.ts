import { existsSync } from "node:fs";
import type { BootEnvironment } from "./environment-boot.ts";
import { parseVariables, succeed } from "./u-boot.ts";

/**
 * GRUB's environment block by `grub-editenv`. The block is 1024 bytes that GRUB and the tool write in
 * place: it belongs on a disk whose sectors are written whole.
 */
export function grubEnvironment(file: string): BootEnvironment {
  return {
    async read() {
      if (!existsSync(file)) return {};
      const { stdout } = await succeed(["grub-editenv", file, "list"]);
      return parseVariables(stdout);
    },
    async write(changes) {
      if (!existsSync(file)) await succeed(["grub-editenv", file, "create"]);
      // One call is one write; an empty value is as good as none to the script.
      const values = Object.entries(changes).map(([name, value]) => `${name}=${value ?? ""}`);
      await succeed(["grub-editenv", file, "set", ...values]);
      await succeed(["sync", file]);
    },
  };
}
