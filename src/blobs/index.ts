export {
  type BlobStat,
  type BlobStore,
  type ListedBlob,
  openBlobStore,
  type PutOptions,
} from "./blob-store.ts";
export { parseS3Address } from "./s3-address.ts";
export type { Staging, StagingWriter } from "./staging.ts";
