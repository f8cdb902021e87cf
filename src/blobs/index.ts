export { type BlobStat, type BlobStore, openBlobStore, type PutOptions } from "./blob-store.ts";
export type { Staging, StagingWriter } from "./staging.ts";
