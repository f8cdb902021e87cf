import { PassThrough } from "node:stream";
import { describe, expect, it } from "vitest";
import { pacedBody } from "../../src/api/paced-body.ts";

const PACE = { idleMs: 60_000, bytesPerSecond: 1_000, graceMs: 50 };

async function read(body: PassThrough, pace = PACE): Promise<number> {
  let sizeBytes = 0;
  for await (const chunk of pacedBody(body, pace)) sizeBytes += chunk.length;
  return sizeBytes;
}

describe("a body that is read at a pace", () => {
  it("passes on what comes", async () => {
    const body = new PassThrough();
    body.write("abc");
    body.end("def");
    expect(await read(body)).toBe(6);
  });

  it("ends a body that trickles", async () => {
    const body = new PassThrough();
    const timer = setInterval(() => body.write("x"), 20);
    await expect(read(body)).rejects.toMatchObject({ code: "invalid-request" });
    clearInterval(timer);
  });

  it("ends a body that says nothing", async () => {
    const body = new PassThrough();
    body.write("abc");
    const silent = read(body, { ...PACE, idleMs: 20 });
    await expect(silent).rejects.toMatchObject({ code: "invalid-request" });
  });

  it("leaves the body whole when its reader stops, so that an answer can be sent", async () => {
    const body = new PassThrough();
    body.write("abc");
    for await (const _ of pacedBody(body, PACE)) break;
    expect(body.destroyed).toBe(false);
    body.destroy();
  });
});
