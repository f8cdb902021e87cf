import type { TenantSettings } from "./settings.ts";

/** How the use of a quota adds up. */
export type QuotaPeriod = "day" | "peak";

export interface Quota {
  setting: keyof TenantSettings;
  /** A sum over a day (UTC), or the most at one moment of it. */
  period: QuotaPeriod;
  unit: "devices" | "messages" | "bytes" | "points" | "requests" | "seconds" | "downloads";
  title: string;
  /** What happens at the limit. */
  refusal: string;
}

/** Every limit of which use is counted; in the order in which people see them. 0 is no limit. */
export const QUOTAS = {
  devices: {
    setting: "maxDevices",
    period: "peak",
    unit: "devices",
    title: "Devices",
    refusal: "no further device is let in",
  },
  messages: {
    setting: "maxMessagesPerDay",
    period: "day",
    unit: "messages",
    title: "Messages a day",
    refusal: "measurements, log lines and events are refused until midnight UTC",
  },
  bytes: {
    setting: "maxMessageBytesPerDay",
    period: "day",
    unit: "bytes",
    title: "Bytes of messages a day",
    refusal: "measurements, log lines and events are refused until midnight UTC",
  },
  points: {
    setting: "maxPointsPerDay",
    period: "day",
    unit: "points",
    title: "Measured points a day",
    refusal: "measurements are refused until midnight UTC",
  },
  storage: {
    setting: "maxStorageBytes",
    period: "peak",
    unit: "bytes",
    title: "Storage of artifacts",
    refusal: "no further upload begins",
  },
  apiRequests: {
    setting: "maxApiRequestsPerMinute",
    period: "peak",
    unit: "requests",
    title: "API requests a minute",
    refusal: "requests are answered with 429 until the minute is over",
  },
  deltaSeconds: {
    setting: "maxDeltaSecondsPerDay",
    period: "day",
    unit: "seconds",
    title: "Delta building a day",
    refusal: "no further delta is asked for: devices get whole images",
  },
  downloads: {
    setting: "maxDownloads",
    period: "peak",
    unit: "downloads",
    title: "Downloads at once",
    refusal: "devices are told when to come again",
  },
} as const satisfies Record<string, Quota>;

export type QuotaName = keyof typeof QUOTAS;
export const QUOTA_NAMES = Object.keys(QUOTAS) as QuotaName[];

/** From this part of a limit on the tenant is told. */
export const WARN_AT = 0.8;

export type QuotaState = "ok" | "warning" | "reached";

/** Where a use stands against its limit; 0 is no limit. */
export function quotaState(used: number, limit: number): QuotaState {
  if (limit === 0 || used < limit * WARN_AT) return "ok";
  return used < limit ? "warning" : "reached";
}

/** In percent what the tenant is to be told, of what it has not been told that day. */
export function newsOf(used: number, limit: number, told: number): 80 | 100 | null {
  const state = quotaState(used, limit);
  if (state === "reached" && told < 100) return 100;
  return state === "warning" && told < 80 ? 80 : null;
}

/** What a tenant is told who has come near a limit, or to it. */
export function quotaAlert(news: {
  quota: QuotaName;
  used: number;
  limit: number;
  percent: 80 | 100;
}) {
  const { quota, used, limit, percent } = news;
  const { title, refusal } = QUOTAS[quota];
  const isReached = percent === 100;
  return {
    key: `quota:${quota}`,
    kind: isReached ? "quota-reached" : "quota-near",
    severity: isReached ? ("critical" as const) : ("warning" as const),
    title: isReached
      ? `${title}: ${used} of ${limit} are used; ${refusal}. Ask the platform for more: Settings → Use`
      : `${title}: ${used} of ${limit} are used; at the limit ${refusal}. See Settings → Use`,
    subjectKind: "quota",
    subjectId: quota,
    details: { used, limit },
  };
}
