import { type ControlList, STEP_MEMORY_BYTES } from "./control.ts";
import type { VdeltaHeader } from "./header.ts";
import type { Kernel } from "./kernel.ts";
import { type ModelSizes, PROFILES } from "./profile.ts";

const SPACE_WORDS = 6;
const REGION_WORDS = 3;

/** An entry in each of the three learned maps. */
const LEARNED_ENTRY_BYTES = 24;
/** Windows over both images, input, packed streams, the kernel's own tables. */
const BUFFER_BYTES = 3 * 1024 * 1024;

/** How much faster the weights of a mixer move at first, since version 3. */
const EARLY = 12;

/**
 * After bytes that follow no rule: the fitness with which contexts are tried again, and how many bytes, as a
 * power of two, are taken as they are at most before that. Up to version 3 one unlucky byte ended the trial,
 * and the next megabyte was taken as it is.
 */
const TRIAL = { fitness: 4800, mostRawBits: 15 };
const TRIAL_OF_3 = { fitness: 4505, mostRawBits: 20 };

type Plan = Pick<VdeltaHeader, "profile" | "architecture" | "spaces">;
type ModelPlan = Plan & Pick<VdeltaHeader, "version" | "grain">;

export function sizesOf(header: { profile: number }): ModelSizes {
  return (PROFILES[header.profile] as (typeof PROFILES)[number]).sizes;
}

/** Bytes that applying the patch of this header holds at most. */
export function memoryOf(header: VdeltaHeader): number {
  const profile = PROFILES[header.profile] as (typeof PROFILES)[number];
  const learnedBytes = 2 ** profile.sizes.learnedBits * LEARNED_ENTRY_BYTES;
  const model = header.coder === "small" ? profile.memoryBytes : learnedBytes;
  return model + BUFFER_BYTES + header.steps * STEP_MEMORY_BYTES;
}

/**
 * Reserves what guessing needs and, for a `model`, what the mixed contexts need; the function that it
 * returns fills it in once the memory is committed.
 */
export function reserveCodec(
  kernel: Kernel,
  header: Plan,
  control: ControlList,
  model?: ModelPlan,
): () => void {
  const { run } = kernel;
  const sizes = sizesOf(header);
  const regions = kernel.reserve(control.regionCount * REGION_WORDS * 4);
  const spaces = kernel.reserve(header.spaces.length * SPACE_WORDS * 4);
  const learned = kernel.reserve(3 * 8 * 2 ** sizes.learnedBits);
  const setUpModel = model ? reserveModel(kernel, sizes, model) : () => {};
  return () => {
    control.writeMap(kernel.words(regions, control.regionCount * REGION_WORDS));
    run.setAddressMap(regions, control.regionCount);
    const words = kernel.words(spaces, header.spaces.length * SPACE_WORDS);
    header.spaces.forEach((space, index) => {
      const { module, source, length, sourceAddress, target, targetAddress } = space;
      const values = [module, source, length, sourceAddress | 0, target, targetAddress | 0];
      words.set(values, index * SPACE_WORDS);
    });
    run.setSpaces(spaces, header.spaces.length);
    run.setLearned(learned, sizes.learnedBits);
    setUpModel();
  };
}

function reserveModel(
  kernel: Kernel,
  sizes: ModelSizes,
  { version, grain }: ModelPlan,
): () => void {
  const { run } = kernel;
  const { slotBits, setBits, mapBits, indexBits, windowBits } = sizes;
  const tables = [...setBits, ...mapBits];
  const mixer = (bits: number) => kernel.reserve(run.mixerBytes(bits, ...tables));
  const flags = mixer(slotBits.flags);
  const bytes = mixer(slotBits.bytes);
  const literals = mixer(slotBits.literals);
  const index = kernel.reserve(4 * 2 ** indexBits);
  const early = version > 2 ? EARLY : 0;
  const trial = version > 3 ? TRIAL : TRIAL_OF_3;
  return () => {
    run.setUpFlags(flags, slotBits.flags, ...tables, early);
    run.setUpBytes(bytes, slotBits.bytes, ...tables, early);
    run.setUpLiteralMixer(literals, slotBits.literals, ...tables, early);
    run.setUpLiterals(index, indexBits, windowBits, grain, trial.fitness, trial.mostRawBits);
  };
}
