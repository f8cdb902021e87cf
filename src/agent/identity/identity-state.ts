import { readDocument, writeDocument } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";

/** Why a certificate is renewed. */
export type RotationReason = "policy" | "command" | "authorities" | "refused";

/** A rotation under way. `step` is the next that has to be done; all before it are durable. */
export interface ActiveRotation {
  generation: number;
  step: "request" | "trial" | "confirm" | "finish";
  reason: RotationReason;
}

/** Which generation is in use: one small document, replaced by one rename. */
export interface IdentityState {
  version: 1;
  current: number;
  /** The way back, where there is one. */
  previous: number | null;
  /** The device's own clock when it got `current`; null for what it was delivered with. */
  obtainedAt: number | null;
  rotation: ActiveRotation | null;
  /** Authorities other than ours, as announced, and when that was first heard. */
  announced: { digest: string; heardAt: number } | null;
  /** Announced authorities that a rotation has already answered. */
  answered: string | null;
}

const FILE = "identity.json";

export function initialIdentity(current = 0): IdentityState {
  return {
    version: 1,
    current,
    previous: null,
    obtainedAt: null,
    rotation: null,
    announced: null,
    answered: null,
  };
}

/** The document; `undefined` where there is none, `"damaged"` where it is not what was written. */
export async function readIdentityState(
  storage: Storage,
): Promise<IdentityState | undefined | "damaged"> {
  const found = await readDocument(storage, FILE);
  if (!found || found === "damaged") return found;
  return { ...initialIdentity(), ...(found.document as Partial<IdentityState>) };
}

export function writeIdentityState(storage: Storage, state: IdentityState): Promise<void> {
  return writeDocument(storage, FILE, state);
}
