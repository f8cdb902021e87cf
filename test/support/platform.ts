import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { readConfig } from "../../src/kernel/config.ts";
import { createLogger } from "../../src/kernel/logger.ts";
import { type Platform, startPlatform } from "../../src/platform/index.ts";
import { SYSTEM_ACTOR } from "../../src/tenancy/index.ts";

export interface TestPlatform extends Platform {
  /** A personal key of the administrator. */
  adminKey: string;
  adminPassword: string;
  /** Calls the operators' API with the administrator's key. */
  // biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
  api(method: string, path: string, body?: unknown): Promise<{ status: number; body: any }>;
}

/** The whole platform with real stores in a temporary folder, on free ports, in this process. */
export async function startTestPlatform(
  options: { dataDirectory?: string; inProcess?: boolean } = {},
): Promise<TestPlatform> {
  const directory = options.dataDirectory ?? fs.mkdtempSync(path.join(os.tmpdir(), "vautn-test-"));
  const config = readConfig({
    VAUTN_DATA: directory,
    VAUTN_API_PORT: "0",
    VAUTN_DEVICE_HTTP_PORT: "0",
    VAUTN_MQTT_PORT: "0",
    VAUTN_LOG_LEVEL: "error",
  });
  const platform = await startPlatform({
    config,
    logger: createLogger({ level: "error" }),
    inProcess: options.inProcess ?? true,
    fastStores: true,
    allowPrivateWebhooks: true,
  });
  const { users, keys } = platform.modules.tenancy;
  const administrator = (await users.list())[0];
  if (!administrator) throw new Error("the first start made no administrator");
  const { key: adminKey } = await keys.createPersonalKey(
    administrator.id,
    { name: "tests" },
    SYSTEM_ACTOR,
  );
  return {
    ...platform,
    adminKey,
    adminPassword: platform.administrator?.password ?? "",
    async api(method, apiPath, body) {
      const response = await fetch(`${platform.consoleUrl}/api/v1${apiPath}`, {
        method,
        headers: { authorization: `Bearer ${adminKey}`, "content-type": "application/json" },
        ...(body === undefined ? {} : { body: JSON.stringify(body) }),
      });
      const text = await response.text();
      return { status: response.status, body: text ? JSON.parse(text) : undefined };
    },
    async stop() {
      await platform.stop();
      if (!options.dataDirectory) fs.rmSync(directory, { recursive: true, force: true });
    },
  };
}
