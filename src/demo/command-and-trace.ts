import { type Stage, waitFor } from "./stage.ts";

/** One command, followed by one trace id from the API to the device's own log line. */
export async function tellCommandAndTrace(stage: Stage, deviceId: string): Promise<string> {
  const { api, narrator } = stage;
  narrator.step("One command, one trace: from the API through the platform into the device's log");
  const sent = await api.post("/tenants/acme/commands", {
    devices: [deviceId],
    name: "ping",
    args: {},
    ttlSeconds: 60,
  });
  const traceId = api.lastTraceId;
  const command = sent.items[0];
  const done = await waitFor(
    () => api.get(`/tenants/acme/commands/${command.id}`),
    (answer) => !["queued", "delivered", "accepted", "running"].includes(answer.status),
    15_000,
    "the command's result",
  );
  narrator.say(`ping to ${deviceId}: ${done.status}`);
  const trace = await waitFor(
    // Spans and lines are written in batches: for a moment there is nothing to be found.
    () => api.get(`/tenants/acme/traces/${traceId}`).catch(() => ({ spans: [], logs: [] })),
    (answer) => answer.logs.some((line: { deviceId?: string }) => line.deviceId === deviceId),
    15_000,
    "the device's log line in the trace",
  );
  narrator.say(
    `${trace.spans.length} spans and ${trace.logs.length} log lines share trace ${traceId}`,
  );
  narrator.look(`npx vautn trace ${traceId} --tenant acme`);
  return traceId;
}
