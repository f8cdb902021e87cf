export { PACKING_LIBRARIES } from "./containers/codecs.ts";
export type {
  PatchCheckpoint,
  PatchInfo,
  PatchSource,
  UnpackedInfo,
  VdeltaInfo,
} from "./format.ts";
export {
  applyPatch,
  type CreatePatchOptions,
  createPatch,
  memoryToApply,
  PATCH_FORMATS,
  PATCH_HEAD_BYTES,
  patchInfo,
} from "./patch.ts";
