import * as Type from "typebox";

const Digest = Type.String({ pattern: "^[0-9a-f]{64}$" });
const Count = Type.Integer({ minimum: 0, maximum: 4_294_967_295 });

/** The parts of a machine's start that have versions, in the order in which they run. */
export const BOOT_STAGES = ["loader", "system", "configuration"] as const;

const BootStage = Type.Object({
  stage: Type.Union(BOOT_STAGES.map((stage) => Type.Literal(stage))),
  version: Type.String({ maxLength: 64 }),
  /** What is compared with the floor: security counter, or the configuration's version. */
  counter: Type.Optional(Count),
  /** The lowest that the machine still accepts, from storage that the disk's holder can't write. */
  floor: Type.Optional(Count),
  /** Where it came from, where there is a choice: `current`, `previous`, `built-in`. */
  source: Type.Optional(Type.String({ maxLength: 16 })),
  /** Why a newer one does not run. */
  fault: Type.Optional(Type.String({ maxLength: 256 })),
});

/**
 * What a device found about its own start: it is the device's word, believed as far as the signed
 * system that says it (see docs/guides/secure-boot.md).
 */
export const BootChain = Type.Object({
  /** Who verifies: `uefi`, `u-boot`. */
  kind: Type.String({ maxLength: 16 }),
  secureBoot: Type.Boolean(),
  /** Keys can be changed by anyone: never so in the field. */
  setupMode: Type.Boolean(),
  /** SHA-256 of the contents of PK, KEK, db, dbx. */
  keys: Type.Record(Type.String({ pattern: "^[A-Za-z]{1,16}$" }), Digest),
  stages: Type.Array(BootStage, { maxItems: 8 }),
});
export type BootChain = {
  kind: string;
  secureBoot: boolean;
  setupMode: boolean;
  keys: Record<string, string>;
  stages: BootStage[];
};
export type BootStage = {
  stage: (typeof BOOT_STAGES)[number];
  version: string;
  counter?: number;
  floor?: number;
  source?: string;
  fault?: string;
};
