import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./client.ts";
import type { CommandStatus, CommandView } from "./types.ts";

const FRESH_MS = 2_000;
/** Somebody waits before it. */
const QUICK_MS = 1_000;

const ENDS: readonly CommandStatus[] = [
  "succeeded",
  "failed",
  "rejected",
  "expired",
  "timed-out",
  "replaced",
  "cancelled",
];

/** One command with what it has written; asked for again until its end. */
export const commandQuery = (t: string, id: string) =>
  queryOptions({
    queryKey: ["tenant", t, "command", id],
    queryFn: () => api.command(t, id),
    refetchInterval: ({ state: { data } }) =>
      data && ENDS.includes(data.status) && !mayBeRetried(data) ? false : QUICK_MS,
  });

/** Its next attempt is made with its end, or a moment later. */
function mayBeRetried({ retriedBy, retryOn, status, ...counts }: CommandView): boolean {
  return !retriedBy && retryOn.includes(status) && counts.attempt < counts.maxAttempts;
}

export const commandBatchesKey = (t: string) => ["tenant", t, "command-batches"];

export const commandBatchesQuery = (t: string, cursor: string | undefined, limit: number) =>
  queryOptions({
    queryKey: [...commandBatchesKey(t), "list", cursor],
    queryFn: () => api.commandBatches(t, { cursor, limit }),
    refetchInterval: FRESH_MS,
    placeholderData: keepPreviousData,
  });

export const commandBatchQuery = (t: string, batch: string) =>
  queryOptions({
    queryKey: [...commandBatchesKey(t), batch],
    queryFn: () => api.commandBatch(t, batch),
    refetchInterval: FRESH_MS,
  });

export interface BatchDevicesInput {
  status?: CommandStatus | undefined;
  cursor?: string | undefined;
  limit: number;
}

export const commandBatchDevicesQuery = (t: string, batch: string, input: BatchDevicesInput) =>
  queryOptions({
    queryKey: [...commandBatchesKey(t), batch, "devices", input],
    queryFn: () => api.commandBatchDevices(t, batch, { ...input }),
    refetchInterval: FRESH_MS,
    placeholderData: keepPreviousData,
  });
