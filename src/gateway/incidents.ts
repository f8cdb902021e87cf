import type { Incident, IncidentKind } from "../devices/index.ts";
import type { DeviceEvent, DeviceIdentity } from "../protocol/index.ts";

/** Reasons of a boot that nobody asked for. */
const CRASH_REASONS = ["crash", "watchdog"];

/** Those of a device's events that count against its firmware. */
export function incidentsOf(peer: DeviceIdentity, events: readonly DeviceEvent[]): Incident[] {
  return events.flatMap((event) => {
    const kind = incidentKindOf(event);
    if (!kind) return [];
    const { ts, seq, type, bootId, firmware, reason, message } = event;
    return [
      {
        tenantId: peer.tenantId,
        deviceId: peer.deviceId,
        kind,
        // A boot tells of one crash, however its event is numbered.
        key: type === "boot" && bootId ? `boot:${bootId}` : `${bootId ?? ""}:${seq}`,
        occurredAt: ts,
        firmwareSha256: firmware?.hash ?? null,
        details: { type, reason, message },
        bootId: bootId ?? null,
        toldByBoot: type === "boot",
      },
    ];
  });
}

function incidentKindOf(event: DeviceEvent): IncidentKind | undefined {
  switch (event.type) {
    case "crash":
      return "crash";
    case "fallback":
      return "fallback";
    case "self-test":
      return event.passed === false ? "self-test-failed" : undefined;
    case "boot":
      return CRASH_REASONS.includes(event.reason ?? "") ? "crash" : undefined;
    default:
      return undefined;
  }
}
