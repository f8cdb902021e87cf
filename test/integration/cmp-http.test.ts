import fc from "fast-check";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { readMessage } from "../../src/identity/cmp/message.ts";
import { directoryName, writeHeader, writeMessage } from "../../src/identity/cmp/writing.ts";
import { context, sequence } from "../../src/kernel/der.ts";
import { distinguishedName } from "../../src/protocol/index.ts";
import { startEnrolment } from "../support/enrolment.ts";

const ERROR = 23;

describe("CMP over HTTP", () => {
  let stage: Awaited<ReturnType<typeof startEnrolment>>;
  beforeAll(async () => {
    stage = await startEnrolment();
  });
  afterAll(() => stage?.close());

  const post = (body: Buffer, path = "/.well-known/cmp/p/acme", type = "application/pkixcmp") =>
    stage.call(path, { method: "POST", body, headers: { "content-type": type } });

  function message(options: { version?: number; body?: Buffer } = {}): Buffer {
    const name = directoryName(distinguishedName("acme", "x"));
    const header = writeHeader({
      version: options.version ?? 2,
      sender: name,
      recipient: name,
      time: new Date(),
      protectionAlgorithm: sequence(),
      senderKid: Buffer.from("x"),
      transactionId: Buffer.alloc(16, 1),
      senderNonce: Buffer.alloc(16, 2),
      recipientNonce: undefined,
    });
    return writeMessage(header, options.body ?? context(0, sequence()), Buffer.alloc(20), []);
  }

  it("answers what is no message, or one of no version that it knows, with a signed error", async () => {
    for (const body of [Buffer.from("hello"), Buffer.from([0x30, 0]), message({ version: 9 })]) {
      const answer = await post(body);
      expect(answer).toMatchObject({ status: 200 });
      expect(answer.headers["content-type"]).toBe("application/pkixcmp");
      const read = readMessage(answer.body);
      expect(read.bodyType).toBe(ERROR);
      expect(read.extraCertificates.length).toBeGreaterThan(0);
    }
  });

  it("refuses with HTTP's own statuses what HTTP can judge", async () => {
    expect((await post(Buffer.alloc(70_000, 0x30))).status).toBe(413);
    expect((await post(message(), undefined, "application/json")).status).toBe(415);
    expect((await post(Buffer.alloc(0))).status).toBe(400);
    expect((await post(message(), "/.well-known/cmp/p/No")).status).toBe(404);
    expect((await stage.call("/.well-known/cmp/p/acme")).status).toBe(404);
    expect((await post(message(), "/.well-known/cmp/p/acme/initialization")).status).toBe(200);
  });

  it("answers every noise, and never with an error of its own", async () => {
    const noise = fc.uint8Array({ minLength: 1, maxLength: 300 });
    await fc.assert(
      fc.asyncProperty(noise, async (bytes) => {
        const answer = await post(Buffer.from(bytes));
        expect(answer.status).toBe(200);
        expect(readMessage(answer.body).bodyType).toBe(ERROR);
      }),
      { numRuns: 60 },
    );
  });
});
