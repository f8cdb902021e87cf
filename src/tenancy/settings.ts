import { AppError } from "../kernel/index.ts";
import { type KeptDays, keptDaysFault } from "../protocol/index.ts";

/** What a tenant may set for itself; every value is a whole number within its bounds. */
interface Setting {
  default: number;
  minimum: number;
  maximum: number;
}

export const TENANT_SETTINGS = {
  /** How often a device says that it lives. */
  heartbeatIntervalSeconds: { default: 60, minimum: 1, maximum: 86_400 },
  /** Heartbeats missed until a device counts as offline. */
  offlineAfterMissed: { default: 3, minimum: 2, maximum: 1_000 },
  certificateLifetimeHours: { default: 90 * 24, minimum: 1, maximum: 2 * 365 * 24 },
  /** How long an expired certificate may still be used to renew it, and for nothing else. */
  certificateGraceDays: { default: 30, minimum: 0, maximum: 365 },
  maxDevices: { default: 100_000, minimum: 1, maximum: 10_000_000 },
  maxReleases: { default: 1_000, minimum: 1, maximum: 100_000 },
  maxWebhooks: { default: 20, minimum: 1, maximum: 1_000 },
  /** Downloads of the tenant's devices at once, and their bytes together; 0 is no limit. */
  maxDownloads: { default: 1_000, minimum: 1, maximum: 100_000 },
  downloadBytesPerSecond: { default: 0, minimum: 0, maximum: 1_000_000_000_000 },
  /** What the tenant's devices may send in a day (UTC) of measurements, lines and events; 0: no limit. */
  maxMessagesPerDay: { default: 0, minimum: 0, maximum: 1_000_000_000_000 },
  maxMessageBytesPerDay: { default: 0, minimum: 0, maximum: 1_000_000_000_000_000 },
  maxPointsPerDay: { default: 0, minimum: 0, maximum: 1_000_000_000_000 },
  /** Of artifacts, and of uploads that are under way. */
  maxStorageBytes: { default: 0, minimum: 0, maximum: 1_000_000_000_000_000 },
  /** Of each process that serves the API. */
  maxApiRequestsPerMinute: { default: 0, minimum: 0, maximum: 10_000_000 },
  maxDeltaSecondsPerDay: { default: 0, minimum: 0, maximum: 864_000 },
  /** 1: a rollout begins when a second person has agreed to it. */
  rolloutApprovals: { default: 0, minimum: 0, maximum: 1 },
  telemetryRetentionDays: { default: 90, minimum: 1, maximum: 3_650 },
  /** Of rollups; 0: as long as what they are made from. Never shorter than that. */
  minuteRollupRetentionDays: { default: 0, minimum: 0, maximum: 3_650 },
  hourRollupRetentionDays: { default: 0, minimum: 0, maximum: 3_650 },
  dayRollupRetentionDays: { default: 0, minimum: 0, maximum: 3_650 },
  logRetentionDays: { default: 30, minimum: 1, maximum: 3_650 },
  /** Of the audit log. The database itself refuses to delete what is younger than the minimum. */
  auditRetentionDays: { default: 3_650, minimum: 90, maximum: 36_500 },
} as const satisfies Record<string, Setting>;

/** Set by the platform's administrators alone: a quota that its tenant can raise is none. */
export const TENANT_QUOTAS: readonly string[] = [
  "maxDevices",
  "maxReleases",
  "maxWebhooks",
  "maxDownloads",
  "downloadBytesPerSecond",
  "maxMessagesPerDay",
  "maxMessageBytesPerDay",
  "maxPointsPerDay",
  "maxStorageBytes",
  "maxApiRequestsPerMinute",
  "maxDeltaSecondsPerDay",
] satisfies (keyof typeof TENANT_SETTINGS)[];

export type TenantSettings = { [Name in keyof typeof TENANT_SETTINGS]: number };

/** Stored settings with the defaults filled in. */
export function effectiveSettings(stored: Record<string, unknown>): TenantSettings {
  return Object.fromEntries(
    Object.entries(TENANT_SETTINGS).map(([name, setting]) => [
      name,
      Object.hasOwn(stored, name) && isWithin(setting, stored[name])
        ? stored[name]
        : setting.default,
    ]),
  ) as TenantSettings;
}

/** How long telemetry is kept for which no rule says otherwise. */
export function keptBySettings(settings: TenantSettings): KeptDays {
  const points = settings.telemetryRetentionDays;
  const minutes = settings.minuteRollupRetentionDays || points;
  const hours = settings.hourRollupRetentionDays || minutes;
  return { points, minutes, hours, days: settings.dayRollupRetentionDays || hours };
}

/** Settings that are each within their bounds and do not go together. */
export function checkTogether(settings: TenantSettings): void {
  const fault = keptDaysFault(keptBySettings(settings));
  if (!fault) return;
  throw new AppError("invalid-content", `some settings do not go together: ${fault}`, {
    errors: [{ field: ROLLUP_FIELDS[fault.split(":")[0] ?? ""] ?? "settings", message: fault }],
  });
}

const ROLLUP_FIELDS: Record<string, keyof TenantSettings> = {
  minutes: "minuteRollupRetentionDays",
  hours: "hourRollupRetentionDays",
  days: "dayRollupRetentionDays",
};

/** The settings of a request, or `invalid-content` with every field that is wrong. */
export function checkSettings(patch: Record<string, unknown>): Partial<TenantSettings> {
  const errors: { field: string; message: string }[] = [];
  for (const [name, value] of Object.entries(patch)) {
    const setting = Object.hasOwn(TENANT_SETTINGS, name)
      ? TENANT_SETTINGS[name as keyof TenantSettings]
      : undefined;
    if (!setting) errors.push({ field: name, message: "there is no such setting" });
    else if (!isWithin(setting, value)) {
      const range = `${setting.minimum} to ${setting.maximum}`;
      errors.push({ field: name, message: `needs a whole number from ${range}` });
    }
  }
  if (errors.length > 0) {
    throw new AppError("invalid-content", "some settings are not valid", { errors });
  }
  return patch as Partial<TenantSettings>;
}

function isWithin(setting: Setting, value: unknown): value is number {
  return (
    Number.isInteger(value) &&
    (value as number) >= setting.minimum &&
    (value as number) <= setting.maximum
  );
}
