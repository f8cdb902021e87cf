import { counter, gauge, histogram, Tally } from "../kernel/metrics.ts";

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
/** QoS 0 that was dropped; everything else waits. */
export const shedTotal = counter(
  "vautn_gateway_shed_total",
  "QoS 0 messages of devices that were dropped, by the limit that they met",
  ["reason"],
);
export const handshakeSeconds = histogram(
  "vautn_gateway_handshake_seconds",
  "From the admission of a connection to the end of its TLS handshake",
  [0.005, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 10],
  ["session"],
);
export const admissionSeconds = histogram(
  "vautn_gateway_admission_seconds",
  "How long connections have waited for their admission",
  [0.005, 0.05, 0.5, 1, 2.5, 5, 10, 20, 40],
);
const publishesTotal = counter(
  "vautn_gateway_publishes_total",
  "PUBLISH packets of and to devices, by direction and QoS",
  ["direction", "qos"],
);
const byQos = (direction: string) =>
  [0, 1, 2].map((qos) => new Tally(publishesTotal, { direction, qos: String(qos) }));
export const publishesIn = byQos("in") as [Tally, Tally, Tally];
export const publishesOut = byQos("out") as [Tally, Tally, Tally];
const bytesTotal = counter(
  "vautn_gateway_bytes_total",
  "Bytes of MQTT read from and written to devices",
  ["direction"],
);
export const bytesIn = new Tally(bytesTotal, { direction: "in" });
export const bytesOut = new Tally(bytesTotal, { direction: "out" });
export const retainedTotal = counter(
  "vautn_gateway_retained_total",
  "Retained messages that were kept, forgotten or sent",
  ["action"],
);
export const subscriptionsGauge = gauge(
  "vautn_gateway_subscriptions",
  "Topic filters of the devices that are connected",
);
export const inflightGauge = gauge(
  "vautn_gateway_inflight",
  "Messages that wait: for the stores (in), for the device's acknowledgement (out)",
  ["direction"],
);
export const waitingBytesGauge = gauge(
  "vautn_gateway_waiting_bytes",
  "Bytes of devices' messages that wait for the stores",
);
export const loopDelayGauge = gauge(
  "vautn_gateway_event_loop_delay_seconds",
  "Delay of the event loop within the last seconds; of several gateways the longest",
  ["quantile"],
  "max",
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

const messageCounters = new Map<string, Tally>();

/** Counts messages; kinds and outcomes are few. */
export function countMessage(kind: string, outcome: string, count = 1): void {
  const key = `${kind} ${outcome}`;
  let known = messageCounters.get(key);
  if (!known) {
    known = new Tally(messagesTotal, { kind, outcome });
    messageCounters.set(key, known);
  }
  known.inc(count);
}
