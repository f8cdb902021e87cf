import type { Static } from "typebox";
import * as Type from "typebox";

const FileName = Type.String({ minLength: 1 });
const EachSlot = Type.Object({ a: FileName, b: FileName }, { additionalProperties: false });

/** Where a bootloader keeps what it shares with the running system. */
const UBoot = Type.Object(
  {
    kind: Type.Literal("u-boot"),
    /** `fw_env.config`; the tools' own if nothing is said. */
    configFile: Type.Optional(FileName),
    /** Environment to begin with where none is found. */
    defaultsFile: Type.Optional(FileName),
  },
  { additionalProperties: false },
);
const Grub = Type.Object(
  { kind: Type.Literal("grub"), environmentFile: FileName },
  { additionalProperties: false },
);
/** Where the running slot is said (`vautn.slot=a`); the kernel's command line if nothing is said. */
const commandLineFile = Type.Optional(FileName);

/** Which bootloader knows the slots, and what is to be known about it. */
export const BackEndConfig = Type.Union([
  Type.Object({ kind: Type.Literal("files") }),
  Type.Object({
    kind: Type.Literal("systemd-boot"),
    /** Where the EFI system partition is mounted. */
    systemPartition: FileName,
  }),
  Type.Object(
    {
      ...UBoot.properties,
      /** Partitions, or files, of the slots. */
      slots: EachSlot,
      commandLineFile,
    },
    { additionalProperties: false },
  ),
  Type.Object(
    { ...Grub.properties, slots: EachSlot, commandLineFile },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal("rauc"),
      /** `bootname` of the slots in RAUC's system.conf. */
      bootNames: EachSlot,
    },
    { additionalProperties: false },
  ),
  Type.Object(
    {
      kind: Type.Literal("swupdate"),
      /** What chooses the slot. */
      environment: Type.Union([UBoot, Grub]),
      /** `<software>,<mode>` of the sw-description for each slot. */
      modes: EachSlot,
      /** Further words for swupdate, such as `-k` with a key. */
      arguments: Type.Optional(Type.Array(Type.String(), { maxItems: 50 })),
      commandLineFile,
    },
    { additionalProperties: false },
  ),
]);
export type BackEndConfig = Static<typeof BackEndConfig>;
export type EnvironmentConfig = Static<typeof UBoot> | Static<typeof Grub>;
