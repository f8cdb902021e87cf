import { map } from "./address-map";

/** One entry, 24 bytes, in the old image's order; they do not overlap. */
@unmanaged
class Space {
  module: i32;
  source: i32;
  length: i32;
  sourceAddress: i32;
  target: i32;
  targetAddress: i32;
}

let spaces: usize = 0;
let count: i32 = 0;
/** The stretch of the old image that the present space, or the gap between spaces, fills. */
let stretchFrom: i32 = 0;
let stretchTo: i32 = 0;
let isInside: bool = false;
/** The spaces of the present module. */
let moduleFrom: i32 = 0;
let moduleTo: i32 = 0;
/** What makes an address of a place. */
let sourceShift: i32 = 0;
let targetShift: i32 = 0;

/** Where the thing went that `translate` was asked for. */
export let translated: i32 = 0;

export function setSpaces(at: usize, spaceCount: i32): void {
  spaces = at;
  count = spaceCount;
  stretchFrom = 0;
  stretchTo = 0;
}

function spaceAt(index: i32): Space {
  return changetype<Space>(spaces + <usize>index * offsetof<Space>());
}

/** Tells where in the old image we are; returns whether the place has addresses. */
export function enterSpace(source: i32): bool {
  if (source < stretchFrom || source >= stretchTo) find(source);
  return isInside;
}

/** Whether a place lies in the same space, or outside of spaces, as the present one. */
export function inPresentSpace(source: i32): bool {
  return source >= stretchFrom && source < stretchTo;
}

function find(source: i32): void {
  let low = 0;
  let high = count;
  while (low < high) {
    const middle = (low + high) >> 1;
    if (spaceAt(middle).source <= source) low = middle + 1;
    else high = middle;
  }
  isInside = false;
  stretchFrom = 0;
  if (low > 0) {
    const found = spaceAt(low - 1);
    stretchFrom = found.source + found.length;
    if (source < stretchFrom) {
      isInside = true;
      stretchTo = stretchFrom;
      stretchFrom = found.source;
      sourceShift = found.sourceAddress - found.source;
      targetShift = found.targetAddress - found.target;
      findModule(low - 1);
      return;
    }
  }
  stretchTo = low < count ? spaceAt(low).source : i32.MAX_VALUE;
  sourceShift = 0;
  targetShift = 0;
}

/** The spaces of one module lie side by side. */
function findModule(at: i32): void {
  const module = spaceAt(at).module;
  moduleFrom = at;
  moduleTo = at + 1;
  while (moduleFrom > 0 && spaceAt(moduleFrom - 1).module === module) moduleFrom -= 1;
  while (moduleTo < count && spaceAt(moduleTo).module === module) moduleTo += 1;
}

/** Address of a place of the old image near the present one; the place itself outside of spaces. */
export function addressOfSource(source: i32): i32 {
  return source + sourceShift;
}

export function addressOfTarget(target: i32): i32 {
  return target + targetShift;
}

/**
 * Finds where the thing at an address of the old image is in the new one. False where the address is
 * outside of the module; outside of all spaces addresses are places.
 */
export function translate(address: i32): bool {
  if (!isInside) {
    translated = map(address);
    return true;
  }
  for (let index = moduleFrom; index < moduleTo; index++) {
    const space = spaceAt(index);
    const within = address - space.sourceAddress;
    if (<u32>within < <u32>space.length) {
      translated = map(space.source + within) - space.target + space.targetAddress;
      return true;
    }
  }
  return false;
}
