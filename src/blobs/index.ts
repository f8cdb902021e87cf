export { type BlobStat, type BlobStore, openBlobStore, type PutOptions } from "./blob-store.ts";
