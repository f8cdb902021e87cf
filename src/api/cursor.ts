import { AppError } from "../kernel/index.ts";

const MAX_LENGTH = 1024;

/** An opaque cursor: it names the list that made it, so that it fits no other. */
export function encodeCursor(list: string, position: string): string {
  return Buffer.from(JSON.stringify([list, position])).toString("base64url");
}

/** The position inside `cursor`; refuses what this list did not make. */
export function decodeCursor(list: string, cursor: string | undefined): string | undefined {
  if (cursor === undefined) return undefined;
  const position = cursor.length <= MAX_LENGTH * 2 ? parse(cursor, list) : undefined;
  if (position === undefined) {
    throw new AppError("invalid-cursor", "the cursor was not made by this list; start over");
  }
  return position;
}

function parse(cursor: string, list: string): string | undefined {
  if (!/^[A-Za-z0-9_-]+$/.test(cursor)) return undefined;
  try {
    const value: unknown = JSON.parse(Buffer.from(cursor, "base64url").toString("utf8"));
    if (!Array.isArray(value) || value.length !== 2 || value[0] !== list) return undefined;
    return typeof value[1] === "string" && value[1].length <= MAX_LENGTH ? value[1] : undefined;
  } catch {
    return undefined; // Not JSON: not one of ours.
  }
}

export interface ModulePage<Item> {
  items: Item[];
  nextCursor: string | null | undefined;
}

/** A module's page with its cursor wrapped. */
export function wrapPage<Item>(
  list: string,
  page: ModulePage<Item>,
): { items: Item[]; nextCursor: string | null } {
  return {
    items: page.items,
    nextCursor: page.nextCursor ? encodeCursor(list, page.nextCursor) : null,
  };
}
