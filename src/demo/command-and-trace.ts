import { ApiRefusal, type Trace } from "../client/index.ts";
import { type Stage, waitFor } from "./stage.ts";

const TENANT = "acme";

/** One command, followed by one trace id from the API to the device's own log line. */
export async function tellCommandAndTrace(stage: Stage, deviceId: string): Promise<string> {
  const { api, narrator } = stage;
  narrator.step("One command, one trace: from the API through the platform into the device's log");
  const sent = await api.call("sendCommand", {
    params: { tenant: TENANT },
    body: { devices: [deviceId], name: "ping", args: {}, ttlSeconds: 60 },
  });
  const traceId = api.lastTraceId ?? "";
  const command = sent.items[0]?.id ?? "";
  const done = await waitFor(
    () => api.call("getCommand", { params: { tenant: TENANT, command } }),
    (answer) => !["queued", "delivered", "accepted", "running"].includes(answer.status),
    60_000,
    "the command's result",
  );
  narrator.say(`ping to ${deviceId}: ${done.status}`);
  const trace = await waitFor(
    () => api.call("getTrace", { params: { tenant: TENANT, trace: traceId } }).catch(nothingYet),
    (answer) => answer.logs.some((line) => line.deviceId === deviceId),
    60_000,
    "the device's log line in the trace",
  );
  narrator.say(
    `${trace.spans.length} spans and ${trace.logs.length} log lines share trace ${traceId}`,
  );
  narrator.look(`npx vautn trace ${traceId} --tenant acme`);
  return traceId;
}

/** Spans and lines are written in batches: for a moment there is nothing to be found. */
function nothingYet(error: unknown): Pick<Trace, "spans" | "logs"> {
  if (error instanceof ApiRefusal && error.code === "not-found") return { spans: [], logs: [] };
  throw error;
}
