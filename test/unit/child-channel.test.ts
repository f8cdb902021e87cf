import { fork } from "node:child_process";
import { once } from "node:events";
import { fileURLToPath } from "node:url";
import { expect, it } from "vitest";
import { tell } from "../../src/platform/child-channel.ts";

const SILENT = fileURLToPath(new URL("../support/silent-child.ts", import.meta.url));

it("what is said to a process that dies meanwhile is lost, and harms nobody", async () => {
  const child = fork(SILENT, [], { stdio: ["ignore", "inherit", "inherit", "ipc"] });
  await once(child, "message");
  const exited = once(child, "exit");
  process.kill(child.pid as number, "SIGKILL");
  // Within this turn of the event loop nothing is known of its death: the channel looks open.
  const deadline = Date.now() + 200;
  while (Date.now() < deadline);
  expect(child.connected).toBe(true);
  for (let index = 0; index < 50; index += 1) tell(child, { index, text: "x".repeat(10_000) });
  await exited;
  tell(child, { index: 51 });
  expect(child.connected).toBe(false);
});
