import type { StoredAuditEntry } from "./audit-store.ts";

/** Facility 13 is the log of audits (RFC 5424 §6.2.1). */
const FACILITY = 13;
const INFORMATIONAL = 6;
const NOTICE = 5;
/** The number that RFC 5612 keeps for whoever has none of their own. */
const STRUCTURE = "vautn@32473";

/**
 * An entry as a syslog message (RFC 5424 §6), its length before it (RFC 6587 §3.4.1, octet counting), so
 * that no text within it can begin another message.
 */
export function syslogFrame(entry: StoredAuditEntry, host: string): Buffer {
  const severity = entry.outcome === "refused" ? NOTICE : INFORMATIONAL;
  const header = [
    `<${FACILITY * 8 + severity}>1`,
    entry.at.toISOString(),
    nameOf(host, 255),
    "vautn",
    "-",
    nameOf(entry.action, 32),
  ].join(" ");
  const facts = {
    tenant: entry.tenantId,
    seq: String(entry.seq),
    actor: `${entry.actorKind}:${entry.actorName}`,
    target: `${entry.targetKind}:${entry.targetId}`,
    outcome: entry.outcome,
    ...(entry.address ? { address: entry.address } : {}),
    ...(entry.traceId ? { traceId: entry.traceId } : {}),
    hash: entry.hash.toString("hex"),
  };
  const pairs = Object.entries(facts).map(([name, value]) => ` ${name}="${escaped(value)}"`);
  // RFC 5424 §6.4: a byte order mark says that what follows is UTF-8.
  const message = `${header} [${STRUCTURE}${pairs.join("")}] \uFEFF${JSON.stringify(entry.details)}`;
  const body = Buffer.from(message);
  return Buffer.concat([Buffer.from(`${body.length} `), body]);
}

/** Printable ASCII without spaces (RFC 5424 §6); a hyphen for nothing. */
function nameOf(text: string, most: number): string {
  return text.replace(/[^!-~]/g, "_").slice(0, most) || "-";
}

/** RFC 5424 §6.3.3: these three are escaped within a value. */
function escaped(value: string): string {
  return value.replace(/["\\\]]/g, (character) => `\\${character}`).replace(/[\r\n]/g, " ");
}
