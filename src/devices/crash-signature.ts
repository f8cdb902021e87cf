import { storableText } from "../kernel/storable.ts";
import type { IncidentKind } from "./types.ts";

const MAX_LENGTH = 200;
/** More of a message says where this one was, not what it has in common with others. */
const MAX_LINES = 3;

/**
 * What incidents of one cause have in common: kind, reason and the first lines of the message without
 * what differs from one to the next (addresses, numbers, ids, quoted values). Null for a silence.
 */
export function crashSignature(
  kind: IncidentKind,
  details: Record<string, unknown>,
): string | null {
  if (kind === "silence" || kind === "restart") return null;
  const parts = [kind, textOf(details.reason), generalise(textOf(details.message))];
  const seen = parts.filter((part, index) => part && parts.indexOf(part) === index);
  return storableText(seen.join(": "), MAX_LENGTH);
}

function textOf(value: unknown): string {
  return typeof value === "string" ? value.trim() : "";
}

function generalise(message: string): string {
  return message
    .split("\n", MAX_LINES)
    .map((line) => line.trim())
    .join(" | ")
    .replace(/\b[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}\b/gi, "<id>")
    .replace(/\b0x[0-9a-f]+\b/gi, "<address>")
    .replace(/\b(?=[0-9a-f]*\d)[0-9a-f]{8,}\b/gi, "<hex>")
    .replace(/"[^"]*"|'[^']*'/g, "<text>")
    .replace(/\d+(\.\d+)*/g, "<n>")
    .replace(/\s+/g, " ");
}
