import { useSyncExternalStore } from "react";

/** One clock for every relative time on the page, so that they all move together. */
function createTicker(intervalMs: number) {
  const listeners = new Set<() => void>();
  let now = Date.now();
  let timer: ReturnType<typeof setInterval> | undefined;
  return {
    subscribe(listener: () => void) {
      listeners.add(listener);
      timer ??= setInterval(() => {
        now = Date.now();
        for (const tell of listeners) tell();
      }, intervalMs);
      return () => {
        listeners.delete(listener);
        if (listeners.size > 0) return;
        clearInterval(timer);
        timer = undefined;
      };
    },
    read() {
      // Nobody listens yet: the value would be as old as the last listener.
      if (!timer) now = Date.now();
      return Math.floor(now / intervalMs) * intervalMs;
    },
  };
}

const everySecond = createTicker(1_000);
const everyTenSeconds = createTicker(10_000);

/** The time, rounded down to a second or ten; the component follows it. */
export function useNow(pace: "second" | "ten-seconds" = "ten-seconds"): number {
  const ticker = pace === "second" ? everySecond : everyTenSeconds;
  return useSyncExternalStore(ticker.subscribe, ticker.read);
}
