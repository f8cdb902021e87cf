export { type Cache, type CacheOptions, startCache } from "./cache.ts";
