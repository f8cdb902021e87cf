import { isTimeZone, isWithin } from "../kernel/weekly-window.ts";
import type { WindowPolicy } from "./policy-parts.ts";

export { isTimeZone } from "../kernel/weekly-window.ts";

/** Whether a device of that zone may begin now. A zone that nobody knows counts as the policy's. */
export function isOpen(window: WindowPolicy, zone: string, nowMs: number): boolean {
  return isWithin(window, isTimeZone(zone) ? zone : (window.timeZone ?? "UTC"), nowMs);
}
