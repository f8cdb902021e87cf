import type { JsonObject } from "../../protocol/index.ts";
import { readDocument, writeDocument } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";

export interface Versioned {
  version: number;
  properties: JsonObject;
}

/** All that the device must know of its twin after a power cut. */
export interface TwinDocument {
  /** The newest that the platform wants; on disk before anything is done by it. */
  held: Versioned;
  /** What the device lives by. */
  applied: Versioned;
  /** Why `held` is not `applied`, where it was tried and taken back. */
  fault: { version: number; message: string } | null;
  /** What the part that lives by it says that it is, and what the application says beside it. */
  found: JsonObject;
  told: JsonObject;
  /** The last version that may have been sent: none is used for two contents. */
  reportedVersion: number;
  /** What the platform has acknowledged; null where it is to be told all. */
  acknowledged: (Versioned & { held: number; applied: number; fault: number | null }) | null;
}

const FILE = "twin.json";
const NOTHING: Versioned = { version: 0, properties: {} };

export const EMPTY_TWIN: TwinDocument = {
  ...{ held: NOTHING, applied: NOTHING, fault: null, found: {}, told: {} },
  ...{ reportedVersion: 0, acknowledged: null },
};

/** A damaged one is an empty one: the platform sees that, and tells all. */
export async function readTwin(storage: Storage): Promise<TwinDocument> {
  const found = await readDocument(storage, FILE);
  if (!found || found === "damaged") return EMPTY_TWIN;
  return { ...EMPTY_TWIN, ...(found.document as Partial<TwinDocument>) };
}

export function writeTwin(storage: Storage, document: TwinDocument): Promise<void> {
  return writeDocument(storage, FILE, document);
}
