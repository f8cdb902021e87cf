import { appendSections, sectionContent } from "./pe-image.ts";
import { invalidContent } from "./refusals.ts";

/** What stands in a kernel's signed command line, so that it holds for this very kernel. */
export interface KernelFacts {
  version: string;
  securityCounter: number;
  /** Root hash of the verity tree over the root image, and how many blocks the image has. */
  root: { hash: string; salt: string; dataBlocks: number } | null;
  role: "system" | "recovery";
}

const MAX_COMMAND_LINE = 2_048;
const VERSION = /^[0-9A-Za-z.+-]{1,64}$/;

/** The command line: ours first, then what the board needs. */
export function commandLine(facts: KernelFacts, extra: string): string {
  if (!VERSION.test(facts.version)) throw invalidContent(`"${facts.version}" is no version`);
  const own = [
    `vautn.version=${facts.version}`,
    `vautn.counter=${facts.securityCounter}`,
    ...(facts.role === "recovery" ? ["vautn.recovery=1"] : []),
    ...(facts.root
      ? [
          `vautn.roothash=${facts.root.hash}`,
          `vautn.salt=${facts.root.salt}`,
          `vautn.blocks=${facts.root.dataBlocks}`,
        ]
      : []),
  ].join(" ");
  if (/(^|\s)vautn\./.test(extra)) throw invalidContent("vautn.* of a command line is not yours");
  const line = `${own} ${extra}`.trim();
  if (line.length > MAX_COMMAND_LINE || /[^\x20-\x7e]/.test(line)) {
    throw invalidContent(`a command line has at most ${MAX_COMMAND_LINE} plain characters`);
  }
  return line;
}

/**
 * Kernel, initial RAM disk and command line in one EFI program, to be signed as a whole (UAPI
 * unified kernel image). The loader sorts by file name alone: no version stands in `.osrel`, lest a
 * later one be preferred to the slot that was chosen.
 */
export function unifiedKernel(parts: {
  stub: Buffer;
  kernel: Buffer;
  initrd: Buffer;
  commandLine: string;
  name: string;
}): Buffer {
  if (!sectionContent(parts.stub, ".sdmagic")) {
    throw invalidContent("the stub is not the one of systemd-boot (no section .sdmagic)");
  }
  const osRelease = `ID=vautn\nIMAGE_ID=vautn\nNAME="${parts.name}"\nPRETTY_NAME="${parts.name}"\n`;
  return appendSections(parts.stub, [
    { name: ".osrel", content: Buffer.from(osRelease) },
    { name: ".cmdline", content: Buffer.from(`${parts.commandLine}\0`) },
    { name: ".initrd", content: parts.initrd },
    { name: ".linux", content: parts.kernel },
  ]);
}
