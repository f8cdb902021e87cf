import { useEffect, useState } from "react";

/** A value as it came in. */
export interface LiveValue {
  deviceId: string;
  metric: string;
  ts: number;
  value: number;
}

export type LiveState = "off" | "connecting" | "live" | "waiting";

const SHOWN = 200;
const RETRY_FIRST_MS = 1_000;
const RETRY_LONGEST_MS = 30_000;

/** The newest value of each device, pushed by the server as they come in. */
export function useLiveValues(
  tenant: string,
  filter: { metric: string | undefined; q: string | undefined },
  isOn: boolean,
) {
  const { metric, q } = filter;
  const [values, setValues] = useState<ReadonlyMap<string, LiveValue>>(new Map());
  const [state, setState] = useState<LiveState>("off");

  useEffect(() => {
    setValues(new Map());
    if (!isOn || !metric) {
      setState("off");
      return;
    }
    let source: EventSource | undefined;
    let timer: ReturnType<typeof setTimeout> | undefined;
    let retryMs = RETRY_FIRST_MS;
    const search = new URLSearchParams({ metrics: metric, ...(q ? { q } : {}) });
    const open = () => {
      setState("connecting");
      source = new EventSource(
        `/api/v1/tenants/${encodeURIComponent(tenant)}/telemetry/live?${search}`,
      );
      source.onopen = () => {
        retryMs = RETRY_FIRST_MS;
        setState("live");
      };
      source.addEventListener("points", (event) => {
        const { points } = JSON.parse(event.data) as { points: LiveValue[] };
        setValues((held) => withNewer(held, points));
      });
      source.onerror = () => {
        source?.close();
        setState("waiting");
        timer = setTimeout(open, retryMs);
        retryMs = Math.min(retryMs * 2, RETRY_LONGEST_MS);
      };
    };
    open();
    return () => {
      clearTimeout(timer);
      source?.close();
    };
  }, [tenant, metric, q, isOn]);
  return { values, state };
}

function withNewer(
  held: ReadonlyMap<string, LiveValue>,
  points: readonly LiveValue[],
): ReadonlyMap<string, LiveValue> {
  const next = new Map(held);
  for (const point of points) {
    const known = next.get(point.deviceId);
    if (known && known.ts > point.ts) continue;
    if (!known && next.size >= SHOWN) continue;
    next.set(point.deviceId, point);
  }
  return next;
}
