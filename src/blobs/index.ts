export {
  type BlobPlace,
  type BlobStat,
  type BlobStore,
  type ListedBlob,
  type OwnBlobs,
  openBlobStore,
  type PutOptions,
  type Staged,
} from "./blob-store.ts";
export { parseS3Address } from "./s3-address.ts";
export type { Staging, StagingWriter } from "./staging.ts";
