/** What an image does on a device; chosen by the image's hash. */
export interface FirmwareBehaviour {
  bootMs: number;
  selfTestMs: number;
  telemetryIntervalMs: number;
  crashesPerDeviceHour: number;
  errorLogsPerDeviceHour: number;
  infoLogsPerDeviceHour: number;
  faults: readonly FirmwareFault[];
}

/** What is wrong with an image. `share` is the part of the devices that it strikes (default all). */
export type FirmwareFault = { share?: number } & (
  | { kind: "crash-loop"; everyMs: number }
  | { kind: "hang-at-boot" }
  | { kind: "failing-self-test" }
  /** The device works on but is not heard of any more. */
  | { kind: "silence"; afterMs: number }
  | { kind: "metric-drift"; metric: string; perHour: number }
);

/** What can be done to one device: its image's faults, and those of its surroundings. */
export type DeviceFault =
  /** With `onImage`, only while the image of this SHA-256 runs. */
  | (FirmwareFault & { onImage?: string })
  /** Power goes at the n-th change of the flash after the next download has begun. */
  | { kind: "power-cut"; afterOperations: number; outageMs?: number }
  /** Connections last `meanSessionMs` on average; downloads break with `brokenDownloads` (0..1). */
  | { kind: "bad-link"; meanSessionMs: number; brokenDownloads: number }
  | { kind: "flash-full"; sizeBytes: number };

export const HEALTHY_BEHAVIOUR: FirmwareBehaviour = {
  bootMs: 1_500,
  selfTestMs: 500,
  telemetryIntervalMs: 10_000,
  crashesPerDeviceHour: 0,
  errorLogsPerDeviceHour: 0,
  infoLogsPerDeviceHour: 6,
  faults: [],
};

export type Behaviours = Readonly<Record<string, Partial<FirmwareBehaviour>>>;

export function behaviourOf(behaviours: Behaviours, sha256: string): FirmwareBehaviour {
  return { ...HEALTHY_BEHAVIOUR, ...behaviours[sha256] };
}
