import type { CommandStatus as ReportedStatus } from "../protocol/index.ts";

/** From `queued` by way of `delivered` to the device's own words, or to an end that we set. */
export type CommandStatus = "queued" | "delivered" | ReportedStatus | "expired" | "cancelled";

/** A command as people see it; times are ISO 8601. */
export interface CommandView {
  id: string;
  deviceId: string;
  name: string;
  args: unknown;
  status: CommandStatus;
  createdAt: string;
  createdBy: string;
  expiresAt: string;
  deliveredAt: string | null;
  finishedAt: string | null;
  output: unknown;
  error: string | null;
  /** What the device said after the end: it changes nothing. */
  lateResult: unknown;
  traceparent: string | null;
}

/** For whom: devices by id, or all that a fleet query finds; never both. */
export interface NewCommand {
  deviceIds?: readonly string[];
  query?: string;
  name: string;
  args: unknown;
  ttlSeconds: number;
}

export interface CommandPage {
  items: CommandView[];
  nextCursor: string | null;
}

export interface ExpiredCommand {
  id: string;
  deviceId: string;
  name: string;
}
