import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { Job } from "./ticker.ts";

export interface RetentionJobsDeps {
  clock: Clock;
  logger: Logger;
  tenancy: {
    tenants: { list(): Promise<readonly { id: string }[]> };
    settings(
      tenantId: string,
    ): Promise<{ telemetryRetentionDays: number; logRetentionDays: number }>;
  };
  timeseries: {
    forgetBefore(tenantId: string, before: { telemetry: number; logs: number }): Promise<string[]>;
  };
}

const EVERY_MS = 3_600_000;
const DAY_MS = 86_400_000;

/** Removes what tenants do not keep any longer; reads leave it out from the moment on already. */
export function retentionJob({ clock, logger, tenancy, timeseries }: RetentionJobsDeps): Job {
  return {
    name: "retention",
    everyMs: EVERY_MS,
    async run() {
      for (const { id } of await tenancy.tenants.list()) {
        const { telemetryRetentionDays, logRetentionDays } = await tenancy.settings(id);
        const now = clock.now();
        const before = {
          telemetry: now - telemetryRetentionDays * DAY_MS,
          logs: now - logRetentionDays * DAY_MS,
        };
        const tables = await timeseries.forgetBefore(id, before);
        if (tables.length > 0) logger.info({ tenantId: id, tables }, "old rows were removed");
      }
    },
  };
}
