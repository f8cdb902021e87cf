import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  deviceUri,
  isTopicFilter,
  mayPublish,
  maySubscribe,
  parseDeviceTopic,
  parseDeviceUri,
  topicMatches,
} from "../../src/protocol/index.ts";

const pump = { tenantId: "acme", deviceId: "pump-1" };
const own = "tenants/acme/devices/pump-1/";

describe("what a device may publish", () => {
  it.each(["telemetry", "heartbeat", "logs", "events", "update/state", "commands/c-1/result"])(
    "permits %s below its own prefix",
    (suffix) => expect(mayPublish(pump, own + suffix)).toBe(true),
  );

  it.each([
    "tenants/globex/devices/pump-1/telemetry",
    "tenants/acme/devices/pump-2/telemetry",
    "tenants/acme/devices/pump-1",
    "tenants/acme/devices/pump-1/",
    "tenants/acme/devices/pump-1/commands",
    "tenants/acme/devices/pump-1/update",
    "tenants/acme/devices/pump-1/../pump-2/telemetry",
    "tenants/acme/devices/pump-1/commands/../telemetry",
    "tenants/acme/devices/pump-1/commands/a/b/result",
    "tenants/acme/devices/pump-1/telemetry/",
    "tenants/acme/devices/pump-1%2F/telemetry",
    "TENANTS/acme/devices/pump-1/telemetry",
    "/tenants/acme/devices/pump-1/telemetry",
    "$SYS/broker",
    "",
  ])("refuses %j", (topic) => expect(mayPublish(pump, topic)).toBe(false));

  it("never permits a topic outside the device's prefix, whatever it looks like", () => {
    fc.assert(
      fc.property(fc.string({ maxLength: 80 }), (topic) => {
        expect(mayPublish(pump, topic) && !topic.startsWith(own)).toBe(false);
      }),
    );
  });
});

describe("what a device may subscribe to", () => {
  it.each(["#", "+", "commands", "commands/+", "update", "commands/#"])(
    "permits %s below its own prefix",
    (suffix) => expect(maySubscribe(pump, own + suffix)).toBe(true),
  );

  it.each([
    "#",
    "+/acme/devices/pump-1/commands",
    "tenants/+/devices/pump-1/commands",
    "tenants/acme/devices/+/commands",
    "tenants/acme/#",
    `$share/group/${own}commands`,
    "$SYS/#",
    `${own}comm#ands`,
    `${own}+x`,
    `${own}\0`,
  ])("refuses %j", (filter) => expect(maySubscribe(pump, filter)).toBe(false));

  it("can only be reached by topics of its own", () => {
    const level = fc.constantFrom("commands", "update", "pump-1", "+", "#", "..");
    const levels = fc.array(level, { minLength: 1, maxLength: 3 }).map((each) => each.join("/"));
    const prefix = fc.constantFrom(
      own,
      "tenants/acme/devices/",
      "tenants/globex/devices/pump-1/",
      "tenants/acme/",
      "",
    );
    const anywhere = fc.tuple(prefix, levels).map((parts) => parts.join(""));
    fc.assert(
      fc.property(anywhere, anywhere, (filter, topic) => {
        if (!maySubscribe(pump, filter) || !topicMatches(filter, topic)) return;
        // `a/#` matches `a` itself (MQTT 5.0 §4.7.1.2), and nothing is ever published there.
        expect(topic.startsWith(own) || `${topic}/` === own).toBe(true);
      }),
      { numRuns: 2000 },
    );
  });
});

describe("topic filters", () => {
  it.each([
    ["a/b", "a/b", true],
    ["a/+", "a/b", true],
    ["a/+", "a/b/c", false],
    ["a/#", "a", true],
    ["a/#", "a/b/c", true],
    ["#", "$SYS/x", false],
    ["+/x", "$SYS/x", false],
    ["+", "a", true],
    ["a/b", "a", false],
  ])("%s and %s: %s", (filter, topic, matches) =>
    expect(topicMatches(filter, topic)).toBe(matches),
  );

  it("are bounded and well-formed", () => {
    expect(isTopicFilter("a/#/b")).toBe(false);
    expect(isTopicFilter("")).toBe(false);
    expect(isTopicFilter("a".repeat(2000))).toBe(false);
  });
});

describe("the identity in a certificate", () => {
  const domain = "devices.vautn.internal";

  it("survives a round trip", () => {
    expect(parseDeviceUri(deviceUri(pump, domain), domain)).toEqual(pump);
  });

  it.each([
    "spiffe://acme.evil.example/device/pump-1",
    "spiffe://devices.vautn.internal/device/pump-1",
    "spiffe://a.b.devices.vautn.internal/device/pump-1",
    "spiffe://acme.devices.vautn.internal/device/pump-1/x",
    "spiffe://acme.devices.vautn.internal/device/",
    "spiffe://acme.devices.vautn.internal/user/pump-1",
    "https://acme.devices.vautn.internal/device/pump-1",
    "spiffe://acmedevices.vautn.internal/device/pump-1",
    "spiffe://acme.devices.vautn.internal@evil/device/pump-1",
  ])("is not read from %s", (uri) => expect(parseDeviceUri(uri, domain)).toBeUndefined());

  it("is found in a topic only where both ids are well-formed", () => {
    expect(parseDeviceTopic(`${own}telemetry`)).toEqual({ ...pump, suffix: "telemetry" });
    expect(parseDeviceTopic("tenants/ACME/devices/pump-1/telemetry")).toBeUndefined();
  });
});
