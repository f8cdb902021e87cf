export type { DeltaView, Offer } from "./delta-views.ts";
export type { OfferQuery } from "./deltas.ts";
export type { FirmwareDeps } from "./deps.ts";
export { type Artifact, createFirmware, type Firmware } from "./firmware.ts";
export * from "./offline-tools.ts";
export type { PublishOptions, ReleaseView } from "./releases.ts";
export type { AppendOptions } from "./upload-writer.ts";
export type { NewUpload, UploadView } from "./uploads.ts";
