import type { Config } from "../kernel/config.ts";

type Ports = Pick<Config, "apiPort" | "deviceHttpPort" | "mqttPort">;

/** The commonest reason not to start, in words that say what to do; anything else as it is. */
export function withWayOut(error: unknown, ports: Ports): unknown {
  const { code, port } = (error ?? {}) as { code?: unknown; port?: unknown };
  const why =
    code === "EADDRINUSE"
      ? "is taken by another program"
      : code === "EACCES"
        ? "may not be opened by this user"
        : undefined;
  const variable =
    port === ports.apiPort
      ? "VAUTN_API_PORT"
      : port === ports.deviceHttpPort
        ? "VAUTN_DEVICE_HTTP_PORT"
        : port === ports.mqttPort
          ? "VAUTN_MQTT_PORT"
          : undefined;
  if (!why || !variable) return error;
  return new Error(`port ${port} ${why}: free it, or set ${variable} to another`, { cause: error });
}
