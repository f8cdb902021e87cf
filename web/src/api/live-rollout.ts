import { useQuery, useQueryClient } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { api } from "./client.ts";
import type { RolloutView } from "./types.ts";

/** How fresh the page is: pushed by the server, or asked for every few seconds. */
export type Liveness = "connecting" | "live" | "polling";

const POLL_MS = 5_000;
const RETRY_FIRST_MS = 1_000;
const RETRY_LONGEST_MS = 30_000;

export function rolloutKey(tenant: string, id: string) {
  return ["tenant", tenant, "rollout", id] as const;
}

/**
 * A rollout that follows the server's events. While the stream is down it is asked for by plain
 * requests, and the stream is tried again with growing pauses.
 */
export function useLiveRollout(tenant: string, id: string) {
  const client = useQueryClient();
  const [liveness, setLiveness] = useState<Liveness>("connecting");
  const query = useQuery({
    queryKey: rolloutKey(tenant, id),
    queryFn: () => api.rollout(tenant, id),
    refetchInterval: liveness === "live" ? false : POLL_MS,
  });

  useEffect(() => {
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let retryMs = RETRY_FIRST_MS;

    const open = () => {
      source = new EventSource(
        `/api/v1/tenants/${encodeURIComponent(tenant)}/rollouts/${encodeURIComponent(id)}/events`,
      );
      source.onopen = () => {
        retryMs = RETRY_FIRST_MS;
        setLiveness("live");
      };
      source.addEventListener("rollout", (event) => {
        const fresh = JSON.parse(event.data) as RolloutView;
        client.setQueryData<RolloutView>(rolloutKey(tenant, id), (held) =>
          held && held.revision > fresh.revision ? held : fresh,
        );
      });
      source.onerror = () => {
        // The browser's own retry gives up after an HTTP error; ours does not.
        source?.close();
        setLiveness("polling");
        timer = setTimeout(open, retryMs);
        retryMs = Math.min(retryMs * 2, RETRY_LONGEST_MS);
      };
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  }, [client, tenant, id]);

  return { ...query, liveness };
}
