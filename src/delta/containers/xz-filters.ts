import { refusePatch } from "../format.ts";
import { BRANCH_FILTERS } from "./lzma/bcj.ts";

/** Filter flags as they stand in a header: perhaps a branch filter, then LZMA2. */
export function filterChain(filters: Uint8Array) {
  const refuse = () => refusePatch("an xz stream has filters that are not known here");
  const isDirect = filters.length === 3;
  const filter = isDirect ? undefined : BRANCH_FILTERS.get(filters[0] as number);
  const last = filters.subarray(filters.length - 3);
  // A branch filter has no properties: it begins at address 0.
  const isBranch = filters.length === 5 && filter !== undefined && filters[1] === 0;
  if ((!isDirect && !isBranch) || last[0] !== 0x21 || last[1] !== 1) throw refuse();
  const size = last[2] as number;
  // The .xz File Format 1.2.1 §5.3.1: 2^n or 2^n + 2^(n-1).
  if (size > 36) throw refuse();
  return { filter, dictionaryBytes: (2 | (size & 1)) * 2 ** ((size >> 1) + 11) };
}
