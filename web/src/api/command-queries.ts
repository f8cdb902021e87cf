import { keepPreviousData, queryOptions } from "@tanstack/react-query";
import { api } from "./client.ts";
import type { CommandStatus } from "./types.ts";

const FRESH_MS = 2_000;

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
