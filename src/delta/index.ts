export type { PatchInfo, PatchSource } from "./format.ts";
export {
  applyPatch,
  type CreatePatchOptions,
  createPatch,
  memoryToApply,
  PATCH_FORMATS,
  patchInfo,
} from "./patch.ts";
