import { once } from "node:events";
import net from "node:net";
import { expect, it } from "vitest";
import { withWayOut } from "../../src/platform/port-taken.ts";

it("a port that is taken is said with what to do, and nothing else is touched", async () => {
  const first = net.createServer().listen(0, "127.0.0.1");
  await once(first, "listening");
  const { port } = first.address() as net.AddressInfo;
  const [error] = await once(net.createServer().listen(port, "127.0.0.1"), "error");
  first.close();
  const ports = { apiPort: 1, deviceHttpPort: port, mqttPort: 2 };
  expect(withWayOut(error, ports)).toMatchObject({
    message: `port ${port} is taken by another program: free it, or set VAUTN_DEVICE_HTTP_PORT to another`,
    cause: error,
  });
  expect(withWayOut(error, { ...ports, deviceHttpPort: 3 })).toBe(error);
  for (const other of [new Error("no"), null, undefined, "text"]) {
    expect(withWayOut(other, ports)).toBe(other);
  }
});
