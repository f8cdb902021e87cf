import { AppError, LIMITS } from "../kernel/index.ts";

export type JsonObject = Record<string, unknown>;

/** RFC 7396 §2: objects are merged, null removes, everything else replaces. */
export function mergePatch(target: unknown, patch: unknown): unknown {
  if (!isJsonObject(patch)) return patch;
  // A Map, and not assignment: `__proto__` is a name like any other.
  const merged = new Map(isJsonObject(target) ? Object.entries(target) : []);
  for (const [name, value] of Object.entries(patch)) {
    if (value === null) merged.delete(name);
    else merged.set(name, mergePatch(merged.get(name), value));
  }
  return Object.fromEntries(merged);
}

/** The patch that makes `target` of `source`; of no entries where they are alike. */
export function diffAsPatch(source: JsonObject, target: JsonObject): JsonObject {
  const patch = new Map<string, unknown>();
  for (const name of Object.keys(source)) if (!Object.hasOwn(target, name)) patch.set(name, null);
  for (const [name, value] of Object.entries(target)) {
    const before = Object.hasOwn(source, name) ? source[name] : undefined;
    if (isJsonObject(before) && isJsonObject(value)) {
      const inner = diffAsPatch(before, value);
      if (Object.keys(inner).length > 0) patch.set(name, inner);
    } else if (JSON.stringify(before) !== JSON.stringify(value)) patch.set(name, value);
  }
  return Object.fromEntries(patch);
}

export function isJsonObject(value: unknown): value is JsonObject {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

/** Throws where a twin's document is larger or deeper than any may be. */
export function checkTwinDocument(
  document: unknown,
  what: string,
  code: "message-invalid" | "invalid-request" = "message-invalid",
): void {
  const bytes = Buffer.byteLength(JSON.stringify(document));
  if (bytes > LIMITS.twinBytes) {
    throw new AppError(code, `${what} has ${bytes} bytes of ${LIMITS.twinBytes}`);
  }
  if (depthOf(document) > LIMITS.jsonDepth) {
    throw new AppError(code, `${what} is nested deeper than ${LIMITS.jsonDepth}`);
  }
}

/** Stops looking one level below what is allowed. */
function depthOf(value: unknown, level = 0): number {
  if (typeof value !== "object" || value === null || level > LIMITS.jsonDepth) return level;
  return Math.max(level + 1, ...Object.values(value).map((inner) => depthOf(inner, level + 1)));
}
