import type { DeviceProcess } from "./device-process.ts";
import type { Kit } from "./kit.ts";

/** What a case works with. */
export interface Bench {
  kit: Kit;
  /** Absent where the device comes by itself. */
  device: DeviceProcess | undefined;
}

/** One requirement of docs/protocol/device.md. */
export interface ConformanceCase {
  /** As the page names it. */
  id: string;
  title: string;
  /** Returns what was seen; rejects with `CaseFailure` and the reason. */
  run(bench: Bench): Promise<string>;
  /** Cases without which this one means nothing. */
  needs?: readonly string[];
}
