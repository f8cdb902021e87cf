/** Turns the first SIGINT or SIGTERM into an abort and the third into an immediate exit. */
export function interruptions(
  controller: AbortController,
  print: (message: string) => void,
): { dispose(): void } {
  let count = 0;
  const onSignal = () => {
    count += 1;
    if (count === 1) controller.abort();
    else if (count === 2) print("still stopping; once more ends it at once");
    else process.exit(1);
  };
  process.on("SIGINT", onSignal);
  process.on("SIGTERM", onSignal);
  return {
    dispose() {
      process.off("SIGINT", onSignal);
      process.off("SIGTERM", onSignal);
    },
  };
}

export function aborted(signal: AbortSignal): Promise<void> {
  return new Promise((resolve) => {
    if (signal.aborted) resolve();
    else signal.addEventListener("abort", () => resolve(), { once: true });
  });
}
