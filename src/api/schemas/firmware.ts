import { Type } from "typebox";
import { ARTIFACT_FORMATS } from "../../protocol/index.ts";
import { listOf, nullable, page, Sha256, strict, Timestamp, Uuid, view } from "./common.ts";

const SigningKey = view("SigningKey", {
  scheme: Type.Enum(["ed25519", "ecdsa-p256-sha256"] as const),
  value: Type.String({ maxLength: 4096, description: "SubjectPublicKeyInfo, base64" }),
});
const SigningRole = view("SigningRole", {
  keyIds: Type.Array(Sha256, { maxItems: 32 }),
  threshold: Type.Integer({ minimum: 1, maximum: 32 }),
});
const Signatures = Type.Array(
  view("Signature", { keyId: Sha256, signature: Type.String({ maxLength: 1024 }) }),
  { maxItems: 32 },
);

export const RootMetadata = view("RootMetadata", {
  _type: Type.Literal("root"),
  specVersion: Type.Literal(1),
  version: Type.Integer({ minimum: 1 }),
  tenant: Type.String(),
  expires: Timestamp,
  keys: Type.Record(Type.String(), SigningKey, { maxProperties: 64 }),
  roles: Type.Object({ root: SigningRole, release: SigningRole, director: SigningRole }),
});
/** Unknown members are kept: signatures are over the document as it was signed. */
export const RootEnvelope = view("RootEnvelope", { signed: RootMetadata, signatures: Signatures });

export const ReleaseManifest = view("ReleaseManifest", {
  _type: Type.Literal("release"),
  specVersion: Type.Literal(1),
  tenant: Type.String(),
  product: Type.String(),
  version: Type.String(),
  hardwareRevisions: Type.Array(Type.String()),
  securityCounter: Type.Integer(),
  minimumSourceVersion: nullable(Type.String()),
  image: Type.Object({ name: Type.String(), sha256: Sha256, sizeBytes: Type.Integer() }),
  createdAt: Type.String(),
  expires: Type.String(),
  notes: Type.Optional(Type.String()),
});

export const ReleaseView = view("Release", {
  id: Uuid,
  product: Type.String(),
  version: Type.String(),
  hardwareRevisions: Type.Array(Type.String()),
  minimumSourceVersion: nullable(Type.String()),
  securityCounter: Type.Integer(),
  imageSha256: Sha256,
  imageSizeBytes: Type.Integer(),
  imageName: Type.String(),
  status: Type.Enum(["published", "yanked"] as const),
  yankReason: nullable(Type.String()),
  notes: Type.String(),
  publishedAt: Timestamp,
  publishedBy: Type.String(),
  signers: Type.Array(Sha256, { description: "Ids of the keys that signed it" }),
});
export const ReleaseDetailView = view("ReleaseDetail", {
  ...ReleaseView.properties,
  envelope: view("ReleaseEnvelope", { signed: ReleaseManifest, signatures: Signatures }),
});
export const ReleasePage = page("ReleasePage", ReleaseView);
export const YankBody = strict({ reason: Type.String({ minLength: 1, maxLength: 1024 }) });

export const UploadView = view("Upload", {
  id: Uuid,
  status: Type.Enum(["open", "complete"] as const),
  name: Type.String(),
  sizeBytes: Type.Integer(),
  offsetBytes: Type.Integer({ description: "What is here, and would survive a power cut" }),
  sha256: nullable(Sha256),
  createdAt: Timestamp,
  createdBy: Type.String(),
  expiresAt: Timestamp,
});
export const UploadPage = page("UploadPage", UploadView);
export const ArtifactLinkView = view("ArtifactLink", {
  url: Type.String({ description: "As good as the artifact itself until it expires" }),
  expiresAt: Timestamp,
});
export const UploadedReleaseBody = strict({
  upload: Uuid,
  manifest: Type.Unknown({ description: "Envelope of the manifest" }),
  notes: Type.Optional(Type.String({ maxLength: 4096 })),
});

export const DeltaView = view("Delta", {
  sourceSha256: nullable(Sha256),
  targetSha256: Sha256,
  format: Type.Enum(ARTIFACT_FORMATS),
  status: Type.Enum(["queued", "building", "ready", "failed"] as const),
  artifactSha256: nullable(Sha256),
  sizeBytes: nullable(Type.Integer()),
  targetSizeBytes: nullable(Type.Integer()),
  ratio: nullable(Type.Number({ description: "Size of the artifact by the size of the image" })),
  buildMs: nullable(Type.Integer()),
  progress: nullable(
    Type.Number({ description: "Share of the work that is done, while it is being built" }),
  ),
  error: nullable(Type.String()),
});
export const DeltaList = listOf("DeltaList", DeltaView);

export const DirectorKeyView = view("DirectorKey", { keyId: Sha256, key: SigningKey });
