import { execFile, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createGatewayFixture, type GatewayFixture } from "../support/gateway.ts";

const run = promisify(execFile);
/** Debian's own, whose packages Paho is one of; another Python may stand before it in the path. */
const PYTHON = "/usr/bin/python3";
const isPresent = spawnSync(PYTHON, ["-c", "import paho.mqtt.client"]).status === 0;
const PREFIX = "tenants/acme/devices/d-1/";

/** Publishes, waits for a command, answers it, and tries a foreign topic; prints what it has seen. */
const SCRIPT = `
import json, ssl, sys, threading
import paho.mqtt.client as mqtt
folder, port, version = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
prefix, done, seen = sys.argv[4], threading.Event(), {}
protocol = mqtt.MQTTv5 if version == 5 else mqtt.MQTTv311
client = mqtt.Client(client_id="paho", protocol=protocol)
client.tls_set(folder + "/ca", folder + "/cert", folder + "/key", tls_version=ssl.PROTOCOL_TLS_CLIENT)
def on_connect(client, userdata, flags, code, properties=None):
    seen["connack"] = getattr(code, "value", code)
    client.subscribe(prefix + "commands", qos=1)
def on_subscribe(client, userdata, mid, granted, properties=None):
    seen["granted"] = [getattr(code, "value", code) for code in granted]
    sample = {"ts": 1, "seq": 1, "values": {"a": 1}}
    client.publish(prefix + "telemetry", json.dumps(sample), qos=2)
def on_message(client, userdata, message):
    command = json.loads(message.payload)
    seen["command"] = command["name"]
    result = client.publish(prefix + "commands/" + command["id"] + "/result", json.dumps({"status": "succeeded"}), qos=1)
    seen["result"] = result.mid
def on_publish(client, userdata, mid, *more):
    seen.setdefault("published", []).append(mid)
    if mid == seen.get("result"):
        done.set()
client.on_connect, client.on_subscribe = on_connect, on_subscribe
client.on_message, client.on_publish = on_message, on_publish
client.connect("localhost", port)
client.loop_start()
seen["done"] = done.wait(20)
client.disconnect()
client.loop_stop()
print(json.dumps({name: seen.get(name) for name in ("connack", "granted", "command", "done")}))
`;

describe.skipIf(!isPresent)("Eclipse Paho for Python (skipped where it is not installed)", () => {
  let fixture: GatewayFixture;
  let directory: string;

  beforeAll(async () => {
    fixture = await createGatewayFixture();
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-paho-"));
    for (const [name, text] of Object.entries(await fixture.pki.device("acme", "d-1"))) {
      fs.writeFileSync(path.join(directory, name), text);
    }
    fs.writeFileSync(path.join(directory, "client.py"), SCRIPT);
  });
  afterAll(async () => {
    await fixture.close();
    fs.rmSync(directory, { recursive: true });
  });

  it.each([4, 5])("publishes, is given a command and answers it (MQTT %d)", async (version) => {
    const order = { deviceIds: ["d-1"], name: `from-paho-${version}`, args: {}, ttlSeconds: 60 };
    const [sent] = await fixture.commands.send("acme", order, SYSTEM_ACTOR, null);
    const before = fixture.recorded.telemetry.length;
    const argv = [path.join(directory, "client.py"), directory, String(fixture.gateway.port)];
    const { stdout } = await run(PYTHON, [...argv, String(version), PREFIX], { timeout: 30_000 });
    const granted = [1];
    expect(JSON.parse(stdout)).toEqual({ connack: 0, granted, command: order.name, done: true });
    expect(fixture.recorded.telemetry).toHaveLength(before + 1);
    const { status } = await fixture.commands.get("acme", sent?.id as string);
    expect(status).toBe("succeeded");
  });
});
