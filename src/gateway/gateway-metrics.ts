import type { Counter } from "prom-client";
import { counter, gauge } from "../kernel/metrics.ts";

export const connectionsGauge = gauge("vautn_gateway_connections", "MQTT connections held now");
export const connectsTotal = counter(
  "vautn_gateway_connects_total",
  "Connection attempts by outcome",
  ["outcome"],
);
export const admissionGauge = gauge(
  "vautn_gateway_admission_waiting",
  "Connections that wait for their TLS handshake",
);
/** Limits that were met and do not end the connection, which has a reason of its own. */
export const limitsTotal = counter(
  "vautn_gateway_limits_total",
  "Times that a limit was met, by limit",
  ["limit"],
);
export const disconnectsTotal = counter(
  "vautn_gateway_disconnects_total",
  "Connections that ended, by reason",
  ["reason"],
);
const messagesTotal = counter(
  "vautn_gateway_messages_total",
  "Messages from devices by kind and outcome",
  ["kind", "outcome"],
);
export const deliveriesTotal = counter(
  "vautn_gateway_deliveries_total",
  "Messages to devices by kind and outcome",
  ["kind", "outcome"],
);
export const pausesTotal = counter(
  "vautn_gateway_pauses_total",
  "Times that a device's socket was not read because the stores lagged behind",
);
export const applicationsGauge = gauge(
  "vautn_gateway_applications",
  "Connections of tenants' applications held now",
);
export const applicationConnects = counter(
  "vautn_gateway_application_connects_total",
  "Connection attempts of applications by outcome",
  ["outcome"],
);
export const applicationMessages = counter(
  "vautn_gateway_application_messages_total",
  "Messages to (out) and orders from (in) applications by outcome",
  ["direction", "outcome"],
);

const messageCounters = new Map<string, Counter.Internal>();

/** Counts a message; kinds and outcomes are few, and finding a counter by its labels is slow. */
export function countMessage(kind: string, outcome: string): void {
  const key = `${kind} ${outcome}`;
  let known = messageCounters.get(key);
  if (!known) {
    known = messagesTotal.labels(kind, outcome);
    messageCounters.set(key, known);
  }
  known.inc();
}
