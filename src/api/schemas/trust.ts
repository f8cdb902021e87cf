import { Type } from "typebox";
import { Sha256, Timestamp, view } from "./common.ts";

/** TUF's documents with TUF's names (specification 1.0, §4); members that are not here are kept. */
const SigningKey = view("SigningKey", {
  keytype: Type.Enum(["ed25519", "ecdsa"] as const),
  scheme: Type.Enum(["ed25519", "ecdsa-sha2-nistp256"] as const),
  keyval: Type.Object({
    public: Type.String({ maxLength: 4096, description: "Ed25519: 32 bytes in hex; P-256: PEM" }),
  }),
});
const Keys = Type.Record(Type.String(), SigningKey, { maxProperties: 64 });
const ROLE = {
  keyids: Type.Array(Sha256, { maxItems: 32 }),
  threshold: Type.Integer({ minimum: 1, maximum: 32 }),
};
const SigningRole = view("SigningRole", ROLE);

export const Signatures = Type.Array(
  view("Signature", { keyid: Sha256, sig: Type.String({ maxLength: 1024, description: "Hex" }) }),
  { maxItems: 32 },
);

const COMMON = {
  spec_version: Type.String({ maxLength: 16 }),
  version: Type.Integer({ minimum: 1 }),
  expires: Timestamp,
  tenant: Type.String(),
};

export const RootMetadata = view("RootMetadata", {
  _type: Type.Literal("root"),
  ...COMMON,
  consistent_snapshot: Type.Boolean(),
  keys: Keys,
  roles: Type.Object({
    root: SigningRole,
    targets: SigningRole,
    snapshot: SigningRole,
    timestamp: SigningRole,
  }),
  director: SigningRole,
});
/** Unknown members are kept: signatures are over the document as it was signed. */
export const RootEnvelope = view("RootEnvelope", { signed: RootMetadata, signatures: Signatures });

export const TargetsMetadata = view("TargetsMetadata", {
  _type: Type.Literal("targets"),
  ...COMMON,
  targets: Type.Object({}),
  delegations: Type.Optional(
    Type.Object({
      keys: Keys,
      roles: Type.Array(
        view("DelegatedRole", {
          name: Type.String({ minLength: 1, maxLength: 64 }),
          ...ROLE,
          paths: Type.Array(Type.String({ maxLength: 256 }), { maxItems: 100 }),
          terminating: Type.Boolean(),
        }),
        { maxItems: 100 },
      ),
    }),
  ),
});
export const TargetsEnvelope = view("TargetsEnvelope", {
  signed: TargetsMetadata,
  signatures: Signatures,
});

export const OnlineKeysView = view("OnlineKeys", {
  director: SigningKey,
  repository: SigningKey,
});
