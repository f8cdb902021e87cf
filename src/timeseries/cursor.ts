import { AppError } from "../kernel/index.ts";

/** Place in a list sorted by newest first: what comes next has a smaller key. */
export interface Position {
  ts: number;
  deviceId: string;
  seq: number;
}

export function encodePosition({ ts, deviceId, seq }: Position): string {
  return Buffer.from(JSON.stringify([ts, deviceId, seq])).toString("base64url");
}

/** The position in a page cursor that `encodePosition` made. */
export function decodePosition(cursor: string): Position {
  try {
    const [ts, deviceId, seq, ...rest] = JSON.parse(Buffer.from(cursor, "base64url").toString());
    const sound = Number.isSafeInteger(ts) && Number.isSafeInteger(seq) && seq >= 0;
    if (sound && typeof deviceId === "string" && rest.length === 0) return { ts, deviceId, seq };
  } catch {} // Not even JSON: refused like any other foreign text.
  throw new AppError("invalid-cursor", "the cursor is not one that a page gave");
}
