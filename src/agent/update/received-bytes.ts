import type { ActiveUpdate } from "../agent-state.ts";
import type { ArtifactServer } from "../ports.ts";

/** What an update has cost so far. */
export type ReceivedBytes = Pick<ActiveUpdate, "bytesDownloaded" | "bytesBySource">;

export function receivedSoFar({ bytesDownloaded, bytesBySource }: ActiveUpdate): ReceivedBytes {
  return { bytesDownloaded, ...(bytesBySource ? { bytesBySource } : {}) };
}

export function withReceived(
  { bytesDownloaded, bytesBySource }: ReceivedBytes,
  sizeBytes: number,
  servedBy: ArtifactServer,
): ReceivedBytes {
  return {
    bytesDownloaded: bytesDownloaded + sizeBytes,
    ...(bytesBySource
      ? { bytesBySource: { ...bytesBySource, [servedBy]: bytesBySource[servedBy] + sizeBytes } }
      : {}),
  };
}
