import { PassThrough } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { expect, it } from "vitest";
import { EventStreams } from "../../src/api/event-stream.ts";
import { type Confinement, confinementIn } from "../../src/kernel/confinement.ts";

it("keeps a live view within its caller's groups, whoever tells of a change", async () => {
  const confinement: Confinement = {
    ...{ tenantId: "acme", groups: ["berlin"], query: "", deviceIds: ["berlin-1"] },
  };
  const raw = Object.assign(new PassThrough(), { writeHead: () => raw });
  const request = { principal: null, ip: "127.0.0.1", confinement };
  const reply = { raw, hijack: () => undefined, getHeaders: () => ({}) };
  let changed: () => void = () => undefined;
  let reads = 0;
  const streams = new EventStreams();
  await streams.open(request as unknown as FastifyRequest, reply as unknown as FastifyReply, {
    event: "x",
    read: async () => ({ read: ++reads, groups: confinementIn("acme")?.groups ?? "every group" }),
    subscribe: (listener) => {
      changed = listener;
      return () => undefined;
    },
    stillMay: async () => true,
  });
  changed();
  let said = "";
  for await (const chunk of raw) {
    said += chunk;
    if (said.includes('"read":2')) break;
  }
  streams.closeAll();
  expect(said).toContain('data: {"read":1,"groups":["berlin"]}');
  expect(said).toContain('data: {"read":2,"groups":["berlin"]}');
});
