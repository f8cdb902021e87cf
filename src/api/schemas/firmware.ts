import { Type } from "typebox";
import { ARTIFACT_FORMATS } from "../../protocol/index.ts";
import { listOf, nullable, page, Sha256, strict, Timestamp, Uuid, view } from "./common.ts";
import { Signatures } from "./trust.ts";

const FILE = { name: Type.String(), sha256: Sha256, sizeBytes: Type.Integer() };
const RECOGNISED = {
  kind: Type.Optional(Type.String({ description: "What the content was recognised as" })),
  facts: Type.Optional(Type.Record(Type.String(), Type.String())),
};

export const ReleaseManifest = view("ReleaseManifest", {
  _type: Type.Literal("release"),
  specVersion: Type.Literal(1),
  tenant: Type.String(),
  product: Type.String(),
  version: Type.String(),
  hardwareRevisions: Type.Array(Type.String()),
  securityCounter: Type.Integer(),
  minimumSourceVersion: nullable(Type.String()),
  image: Type.Object({ ...FILE, ...RECOGNISED }),
  components: Type.Optional(
    Type.Array(Type.Object({ ...FILE, ...RECOGNISED, component: Type.String() })),
  ),
  createdAt: Type.String(),
  expires: Type.String(),
  notes: Type.Optional(Type.String()),
  sbom: Type.Optional(Type.Object({ ...FILE, format: Type.String() })),
  provenance: Type.Optional(Type.Object({ ...FILE, predicateType: Type.String() })),
});

export const ChannelName = Type.Enum(["dev", "beta", "stable"] as const);

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
  channel: ChannelName,
  yankReason: nullable(Type.String()),
  notes: Type.String(),
  publishedAt: Timestamp,
  publishedBy: Type.String(),
  signers: Type.Array(Sha256, { description: "Ids of the keys that signed it" }),
  deltaWarning: nullable(
    Type.String({ description: "Why deltas of the image will save nothing, where that is so" }),
  ),
});
const SBOM_COMPONENT = {
  name: Type.String(),
  version: nullable(Type.String()),
  license: nullable(Type.String()),
  purl: nullable(Type.String()),
};

export const ComponentView = view("ReleaseComponent", {
  ...SBOM_COMPONENT,
  release: Type.Object({
    id: Uuid,
    product: Type.String(),
    version: Type.String(),
    channel: ChannelName,
    status: Type.Enum(["published", "yanked"] as const),
  }),
});
export const ComponentPage = page("ReleaseComponentPage", ComponentView);

export const ReleaseDetailView = view("ReleaseDetail", {
  ...ReleaseView.properties,
  envelope: view("ReleaseEnvelope", { signed: ReleaseManifest, signatures: Signatures }),
  files: Type.Array(
    view("ReleaseFile", {
      role: Type.Enum(["component", "sbom", "provenance"] as const),
      component: Type.String(),
      name: Type.String(),
      sha256: Sha256,
      sizeBytes: Type.Integer(),
      summary: nullable(
        Type.Union([
          view("SbomSummary", {
            format: Type.Enum(["cyclonedx", "spdx"] as const),
            specVersion: Type.String(),
            componentCount: Type.Integer(),
            components: Type.Array(view("SbomComponent", SBOM_COMPONENT), {
              description: "The first of them; listComponents has all",
            }),
          }),
          view("ProvenanceSummary", {
            predicateType: Type.String(),
            subjects: Type.Array(Type.Object({ name: Type.String(), sha256: Sha256 })),
            signers: Type.Array(Sha256, { description: "Of the keys that the manifest names" }),
            builder: nullable(Type.String()),
            buildType: nullable(Type.String()),
            sources: Type.Array(Type.String()),
          }),
        ]),
      ),
    }),
  ),
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
  channel: Type.Optional(ChannelName),
  files: Type.Optional(
    Type.Array(Uuid, {
      maxItems: 64,
      description: "Complete uploads that hold the further files that the manifest names",
    }),
  ),
});

const UnpackedView = view("UnpackedImages", {
  streams: Type.Array(Type.Object({ codec: Type.String(), count: Type.Integer() }), {
    description: "Packed parts of the new image that the device packs again",
  }),
  sourceFormBytes: Type.Integer(),
  targetFormBytes: Type.Integer({ description: "Size of the new image with all of it unpacked" }),
  recipeBytes: Type.Integer(),
  requires: nullable(
    Type.String({ description: "Library and version that a device must announce" }),
  ),
});

export const DeltaView = view("Delta", {
  sourceSha256: nullable(Sha256),
  targetSha256: Sha256,
  format: Type.Enum(ARTIFACT_FORMATS),
  devices: Type.Integer({ description: "Devices that ran the source when it was asked for" }),
  status: Type.Enum(["queued", "building", "ready", "failed", "skipped"] as const),
  artifactSha256: nullable(Sha256),
  sizeBytes: nullable(Type.Integer()),
  targetSizeBytes: nullable(Type.Integer()),
  ratio: nullable(Type.Number({ description: "Size of the artifact by the size of the image" })),
  buildMs: nullable(Type.Integer()),
  progress: nullable(
    Type.Number({ description: "Share of the work that is done, while it is being built" }),
  ),
  error: nullable(Type.String({ description: "Why it failed, or why none was made" })),
  unpacked: nullable(UnpackedView),
});
export const DeltaList = listOf("DeltaList", DeltaView);
