import { afterAll, afterEach, beforeAll, describe, it } from "vitest";
import { createGatewayFixture, type GatewayFixture } from "../support/gateway.ts";
import { type Bench, createBench, type Statement } from "../support/mqtt-conformance.ts";
import { CONNECTS } from "../support/mqtt-statements/connects.ts";
import { MESSAGES } from "../support/mqtt-statements/messages.ts";
import { PACKETS } from "../support/mqtt-statements/packets.ts";
import { PUBLISHES } from "../support/mqtt-statements/publishes.ts";
import { QOS_2 } from "../support/mqtt-statements/qos-2.ts";
import { SESSIONS } from "../support/mqtt-statements/sessions.ts";
import { SUBSCRIBING } from "../support/mqtt-statements/subscribing.ts";
import { WILLS } from "../support/mqtt-statements/wills.ts";

/** Chapters of the standard: each statement with what shows that it is obeyed. */
const CHAPTERS: Record<string, readonly Statement[]> = {
  "§1.5, §2, §3 What a packet may look like": PACKETS,
  "§3.1, §3.2, §3.14 Connections": CONNECTS,
  "§3.3 to §3.7, §4.3 Messages and their acknowledgements": PUBLISHES,
  "§3.8 to §3.11, §4.7 Subscriptions": SUBSCRIBING,
  "§4.3.3 QoS 2: exactly once": QOS_2,
  "§4.1, §4.4 Sessions and what is sent again": SESSIONS,
  "§3.3, §3.8 Messages, subscriptions and what is retained": MESSAGES,
  "§3.1.2.5, §3.1.3.2 Wills": WILLS,
};

let fixture: GatewayFixture;
let bench: Bench & { close(): void };

beforeAll(async () => {
  fixture = await createGatewayFixture({ storePatienceMs: 600, inboundInflight: 10 });
  bench = await createBench(fixture);
});
afterAll(() => fixture.close());
afterEach(async () => {
  bench.close();
  fixture.recorded.available = true;
  fixture.recorded.telemetry.length = 0;
  await fixture.test.db.tenant("acme", (tx) => tx.deleteFrom("mqtt_retained").execute());
  for (const { id } of await fixture.commands.undelivered("acme", "d-1", 100)) {
    await fixture.commands.markDelivered("acme", "d-1", [id]);
  }
});

describe.each(Object.entries(CHAPTERS))("MQTT %s", (_chapter, statements) => {
  it.each(statements)("[$tag] $says", ({ run }) => run(bench));
});
