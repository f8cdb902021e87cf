import { execFile, spawn, spawnSync } from "node:child_process";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { promisify } from "node:util";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";
import { createGatewayFixture, type GatewayFixture, until } from "../support/gateway.ts";

const run = promisify(execFile);
const isPresent = spawnSync("mosquitto_pub", ["--version"]).error === undefined;
const PREFIX = "tenants/acme/devices/d-1/";

describe.skipIf(!isPresent)("mosquitto_pub and mosquitto_sub (skipped where not installed)", () => {
  let fixture: GatewayFixture;
  let directory: string;
  let base: string[];

  beforeAll(async () => {
    fixture = await createGatewayFixture();
    const device = await fixture.pki.device("acme", "d-1");
    directory = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-mosquitto-"));
    for (const [name, text] of Object.entries(device)) {
      fs.writeFileSync(path.join(directory, name), text);
    }
    const file = (name: string) => path.join(directory, name);
    base = ["--cafile", file("ca"), "--cert", file("cert"), "--key", file("key")];
    base.push("-h", "localhost", "-p", String(fixture.gateway.port), "-i", "any", "-q", "1");
  });
  afterAll(async () => {
    await fixture.close();
    fs.rmSync(directory, { recursive: true });
  });

  const publish = (version: string, topic: string, message: string) =>
    run("mosquitto_pub", [...base, "-V", version, "-t", topic, "-m", message], { timeout: 10_000 });

  it.each(["mqttv311", "mqttv5"])("publish what becomes durable (%s)", async (version) => {
    const before = fixture.recorded.telemetry.length;
    await publish(version, `${PREFIX}telemetry`, `{"ts":1,"seq":1,"values":{"a":1}}`);
    expect(fixture.recorded.telemetry).toHaveLength(before + 1);
  });

  it("are told that a foreign topic is not theirs", async () => {
    const before = fixture.recorded.telemetry.length;
    const topic = "tenants/globex/devices/d-1/telemetry";
    const { stderr } = await publish("mqttv5", topic, "{}");
    expect(stderr).toMatch(/Not authorized/i);
    expect(fixture.recorded.telemetry).toHaveLength(before);
  });

  it.each(["mqttv311", "mqttv5"])("receive a command (%s)", async (version) => {
    const child = spawn("mosquitto_sub", [
      ...[...base, "-V", version, "-t", `${PREFIX}commands`, "-C", "1", "-W", "10"],
    ]);
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    const status = new Promise((resolve) => child.once("close", resolve));
    const [command] = await fixture.commands.send(
      "acme",
      { deviceIds: ["d-1"], name: "reboot", args: {}, ttlSeconds: 60 },
      SYSTEM_ACTOR,
      null,
    );
    expect(await status).toBe(0);
    expect(JSON.parse(output)).toMatchObject({ id: command?.id, name: "reboot" });
    await until(
      async () =>
        (await fixture.commands.get("acme", command?.id as string)).status === "delivered",
    );
  });

  it("are refused a subscription that reaches further than their device", async () => {
    const child = spawn("mosquitto_sub", [
      ...[...base, "-V", "mqttv5", "-t", "tenants/+/devices/+/commands", "-C", "1", "-W", "2"],
    ]);
    let output = "";
    child.stdout.on("data", (chunk) => {
      output += chunk;
    });
    child.stderr.on("data", (chunk) => {
      output += chunk;
    });
    await new Promise((resolve) => child.once("close", resolve));
    expect(output).toMatch(/denied|Not authorized/i);
  });
});
