import { expect, it } from "vitest";
import type { Session } from "../../src/agent/index.ts";
import { seededRandom, VirtualClock } from "../../src/kernel/index.ts";
import { FaultyNetwork } from "../../src/simulator/index.ts";

it("lets no connection through that was being made when the silence fell", async () => {
  const network = new FaultyNetwork(new VirtualClock(), seededRandom(1));
  const made = Promise.withResolvers<Session>();
  let closed = false;
  const transport = network.transport({ connect: () => made.promise });
  const handlers = { onMessage: async () => {}, onClose: () => {} };
  const connecting = transport.connect(handlers, new AbortController().signal);
  network.setSilent(true);
  made.resolve({
    publish: async () => {},
    close: async () => {
      closed = true;
    },
  });
  await expect(connecting).rejects.toThrow("the network is unreachable");
  expect(closed).toBe(true);
});
