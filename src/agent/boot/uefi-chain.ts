import { createHash } from "node:crypto";
import { readFile } from "node:fs/promises";
import type { BootStage, FirmwareVariableWrite } from "../../protocol/index.ts";
import { type ChainOfTrust, type Floors, NO_FLOORS } from "./boot-back-end.ts";
import { EFI_NAMESPACE, EfiVariables } from "./efi-variables.ts";

const KEYS: [string, string][] = [
  ["PK", EFI_NAMESPACE.global],
  ["KEK", EFI_NAMESPACE.global],
  ["db", EFI_NAMESPACE.imageSecurity],
  ["dbx", EFI_NAMESPACE.imageSecurity],
];

/** Variables that a configuration may change: floors, and what is allowed and forbidden to start. */
const WRITABLE = new Map([
  ["VautnFloor", EFI_NAMESPACE.vautn],
  ["KEK", EFI_NAMESPACE.global],
  ["db", EFI_NAMESPACE.imageSecurity],
  ["dbx", EFI_NAMESPACE.imageSecurity],
]);

/** EFI_VARIABLE_TIME_BASED_AUTHENTICATED_WRITE_ACCESS: the firmware asks for a signature. */
const AUTHENTICATED = 0x20;

/** The chain of a UEFI machine, measured from the firmware's own variables. */
export function uefiChain(options: { variables?: EfiVariables; commandLine?: string } = {}) {
  const variables = options.variables ?? new EfiVariables();
  const commandLineFile = options.commandLine ?? "/proc/cmdline";

  async function floors(): Promise<Floors> {
    const stored = await variables.read("VautnFloor", EFI_NAMESPACE.vautn);
    if (!stored || stored.length < 8) return NO_FLOORS;
    return { security: stored.readUInt32LE(0), configuration: stored.readUInt32LE(4) };
  }

  return {
    floors,
    async describe() {
      const keys: Record<string, string> = {};
      for (const [name, namespace] of KEYS) {
        const content = await variables.read(name, namespace);
        if (content) keys[name] = createHash("sha256").update(content).digest("hex");
      }
      const words = (await readFile(commandLineFile, "utf8")).trim().split(/\s+/);
      const word = (name: string) =>
        words.find((one) => one.startsWith(`vautn.${name}=`))?.slice(name.length + 7);
      const loader = await variables.readText("LoaderInfo", EFI_NAMESPACE.loader);
      const stages: BootStage[] = [
        { stage: "loader", version: (loader ?? "unknown").slice(0, 64) },
        {
          stage: "system",
          version: (word("version") ?? "unknown").slice(0, 64),
          counter: Number(word("counter") ?? 0),
          floor: (await floors()).security,
        },
      ];
      return {
        kind: "uefi",
        secureBoot: await variables.readFlag("SecureBoot", EFI_NAMESPACE.global),
        setupMode: await variables.readFlag("SetupMode", EFI_NAMESPACE.global),
        keys,
        stages,
      };
    },
    async write({ name, namespace, attributes, payload }: FirmwareVariableWrite) {
      if (WRITABLE.get(name) !== namespace) {
        throw new Error(`the firmware variable ${name} is not a configuration's to change`);
      }
      // Without this attribute the firmware would take the write from anybody.
      if ((attributes & AUTHENTICATED) === 0) throw new Error(`the write of ${name} is not signed`);
      await variables.write(name, namespace, attributes, Buffer.from(payload, "base64"));
    },
  } satisfies ChainOfTrust;
}
