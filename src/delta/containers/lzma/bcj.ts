/**
 * The filters for machine code that xz puts before LZMA2: the goal of a branch instead of the way
 * there. `forward` packs, otherwise unpacks; in place, the content beginning at address 0.
 */
export type BranchFilter = (bytes: Uint8Array, forward: boolean) => void;

/** By their ids (The .xz File Format 1.2.1 §5.4). */
export const BRANCH_FILTERS: ReadonlyMap<number, BranchFilter> = new Map([
  [4, x86],
  [7, arm],
  [8, thumb],
  [10, arm64],
]);

function arm(bytes: Uint8Array, forward: boolean): void {
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    if (bytes[at + 3] !== 0xeb) continue;
    const word =
      ((bytes[at + 2] as number) << 16) | ((bytes[at + 1] as number) << 8) | (bytes[at] as number);
    const goal = ((word << 2) + (forward ? at + 8 : -(at + 8))) >>> 2;
    bytes[at] = goal & 0xff;
    bytes[at + 1] = (goal >>> 8) & 0xff;
    bytes[at + 2] = (goal >>> 16) & 0xff;
  }
}

function thumb(bytes: Uint8Array, forward: boolean): void {
  for (let at = 0; at + 4 <= bytes.length; at += 2) {
    const first = bytes[at + 1] as number;
    const second = bytes[at + 3] as number;
    if ((first & 0xf8) !== 0xf0 || (second & 0xf8) !== 0xf8) continue;
    const high = ((first & 7) << 19) | ((bytes[at] as number) << 11);
    const word = high | ((second & 7) << 8) | (bytes[at + 2] as number);
    const goal = ((word << 1) + (forward ? at + 4 : -(at + 4))) >>> 1;
    bytes[at] = (goal >>> 11) & 0xff;
    bytes[at + 1] = 0xf0 | ((goal >>> 19) & 7);
    bytes[at + 2] = goal & 0xff;
    bytes[at + 3] = 0xf8 | ((goal >>> 8) & 7);
    at += 2;
  }
}

function arm64(bytes: Uint8Array, forward: boolean): void {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  for (let at = 0; at + 4 <= bytes.length; at += 4) {
    const word = view.getUint32(at, true);
    if (word >>> 26 === 0x25) {
      const moved = word + (forward ? at >>> 2 : -(at >>> 2));
      view.setUint32(at, 0x94000000 | (moved & 0x03ffffff), true);
    } else if ((word & 0x9f000000) >>> 0 === 0x90000000) {
      const page = ((word >>> 29) & 3) | ((word >>> 3) & 0x001ffffc);
      // Only pages within 512 MiB are moved.
      if ((page + 0x00020000) & 0x001c0000) continue;
      const goal = page + (forward ? at >>> 12 : -(at >>> 12));
      const fields = ((goal & 3) << 29) | ((goal & 0x0003fffc) << 3);
      const sign = -(goal & 0x00020000) & 0x00e00000;
      view.setUint32(at, (word & 0x9000001f) | fields | sign, true);
    }
  }
}

const BITS_OF_MASK = [0, 1, 2, 2, 3] as const;

/** A goal's top byte is all zeros or all ones, and so are those that were just seen. */
function x86(bytes: Uint8Array, forward: boolean): void {
  let mask = 0;
  let before = -5;
  for (let at = 0; at + 5 <= bytes.length; ) {
    if (((bytes[at] as number) & 0xfe) !== 0xe8) {
      at += 1;
      continue;
    }
    const distance = at - before;
    before = at;
    if (distance > 5) mask = 0;
    else for (let count = 0; count < distance; count++) mask = (mask & 0x77) << 1;
    const top = bytes[at + 4] as number;
    const isAllowed = mask >> 1 <= 4 && mask >> 1 !== 3;
    if (!isSign(top) || !isAllowed) {
      at += 1;
      mask |= isSign(top) ? 0x11 : 1;
      continue;
    }
    const goal = movedBranch(bytes, at, mask, forward);
    bytes[at + 4] = (goal >>> 24) & 1 ? 0xff : 0;
    bytes[at + 3] = (goal >>> 16) & 0xff;
    bytes[at + 2] = (goal >>> 8) & 0xff;
    bytes[at + 1] = goal & 0xff;
    at += 5;
    mask = 0;
  }
}

function movedBranch(bytes: Uint8Array, at: number, mask: number, forward: boolean): number {
  let word =
    ((bytes[at + 4] as number) << 24) |
    ((bytes[at + 3] as number) << 16) |
    ((bytes[at + 2] as number) << 8) |
    (bytes[at + 1] as number);
  for (;;) {
    const goal = (word + (forward ? at + 5 : -(at + 5))) | 0;
    if (mask === 0) return goal;
    const bits = 8 * (BITS_OF_MASK[mask >> 1] as number);
    if (!isSign((goal >>> (24 - bits)) & 0xff)) return goal;
    word = goal ^ (2 ** (32 - bits) - 1);
  }
}

function isSign(byte: number): boolean {
  return byte === 0 || byte === 0xff;
}
