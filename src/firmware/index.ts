export * from "./build.ts";
export { CHANNELS, type Channel } from "./channels.ts";
export { COLLECTION_GRACE_MS, type Collection } from "./collection.ts";
export { type DeltaSource, type DeltaView, type Offer, takesPatches } from "./delta-views.ts";
export type { OfferQuery } from "./deltas.ts";
export type { FirmwareDeps } from "./deps.ts";
export {
  createDownloadShareStore,
  type DownloadShareStore,
  type HeldShare,
  type ShareKey,
} from "./download-shares-store.ts";
export { type Artifact, createFirmware, type Firmware } from "./firmware.ts";
export * from "./offline-tools.ts";
export type { OnlineKeys } from "./online-keys.ts";
export { type ProvenanceSummary, readAttestorKey, readProvenance } from "./provenance.ts";
export type { PublishOptions, ReleaseView } from "./releases.ts";
export {
  readSbom,
  type Sbom,
  type SbomComponent,
  type SbomSummary,
  summariseSbom,
} from "./sbom.ts";
export * from "./signature-status.ts";
export type { AppendOptions } from "./upload-writer.ts";
export type { NewUpload, UploadView } from "./uploads.ts";
