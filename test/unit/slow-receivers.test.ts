import { once } from "node:events";
import net from "node:net";
import { describe, expect, it, onTestFinished } from "vitest";
import { startLanedTicker } from "../../src/jobs/laned-ticker.ts";
import { postWebhook, sendWebhook } from "../../src/kernel/guarded-request.ts";
import { VirtualClock } from "../../src/kernel/index.ts";
import { silentLogger } from "../support/timeseries.ts";

/** A receiver that does as it likes with a connection once it has heard something on it. */
async function receiver(answer: (socket: net.Socket) => void): Promise<URL> {
  const sockets = new Set<net.Socket>();
  const server = net.createServer((socket) => {
    sockets.add(socket);
    socket.on("error", () => {});
    socket.once("data", () => answer(socket));
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  onTestFinished(() => {
    for (const socket of sockets) socket.destroy();
    server.close();
  });
  return new URL(`http://127.0.0.1:${(server.address() as net.AddressInfo).port}/`);
}

const OPEN_ENDED = "HTTP/1.1 200 OK\r\ncontent-length: 100\r\n\r\nso far";

describe("a receiver", () => {
  const clock = new VirtualClock();
  const options = { clock, allowPrivateAddresses: true };

  it("that has said 200 and nothing more has taken the message; where its answer matters it has not", async () => {
    let answered = 0;
    const url = await receiver((socket) => {
      socket.write(OPEN_ENDED);
      answered += 1;
    });
    const posted = postWebhook(url, "{}", {}, options);
    const asked = sendWebhook(url, "{}", {}, options);
    asked.catch(() => {});
    await expect.poll(() => answered).toBe(2);
    // The answers have to be read before the time is up.
    await new Promise((resolve) => setTimeout(resolve, 100));
    await clock.advance(10_000);
    expect(await posted).toBe(200);
    await expect(asked).rejects.toThrow("no answer within 10 s");
  });

  it("that breaks off after its 200 has taken it as well", async () => {
    const url = await receiver((socket) => socket.end(OPEN_ENDED));
    expect(await postWebhook(url, "{}", {}, options)).toBe(200);
  });

  it("that closes at once, or has headers without end, has not, and is told so at once", async () => {
    const closing = await receiver((socket) => socket.destroy());
    await expect(postWebhook(closing, "{}", {}, options)).rejects.toThrow(/hang up|ECONNRESET/);
    const endless = await receiver((socket) => {
      socket.write("HTTP/1.1 200 OK\r\n");
      const more = () => {
        while (!socket.destroyed && socket.write(`x: ${"y".repeat(1_000)}\r\n`));
      };
      socket.on("drain", more);
      more();
    });
    await expect(postWebhook(endless, "{}", {}, options)).rejects.toThrow(/[Hh]eader/);
  });

  it("whose name is never resolved is given up like one that does not answer", async () => {
    const posted = postWebhook(
      new URL("http://nowhere.example/"),
      "{}",
      {},
      {
        ...options,
        resolve: () => new Promise(() => {}),
      },
    );
    const outcome = expect(posted).rejects.toThrow("no answer within 10 s");
    await clock.advance(10_000);
    await outcome;
  });
});

describe("a job that waits for receivers", () => {
  it("serves other tenants while one tenant's does not answer, and goes on at once where there is more", async () => {
    const clock = new VirtualClock();
    const served: string[] = [];
    const left: Record<string, number> = { hung: 1, busy: 3, other: 1 };
    let release = () => {};
    const hanging = new Promise<void>((resolve) => {
      release = resolve;
    });
    const job = {
      ...{ name: "test", everyMs: 1_000, atOnce: 2 },
      due: async () => Object.keys(left).filter((tenantId) => (left[tenantId] ?? 0) > 0),
      async work(tenantId: string) {
        served.push(tenantId);
        if (tenantId === "hung") await hanging;
        left[tenantId] = (left[tenantId] ?? 0) - 1;
        return true;
      },
    };
    const ticker = startLanedTicker(job, { clock, logger: silentLogger });
    await clock.advance(1_100);
    await expect
      .poll(async () => {
        await clock.advance(1);
        return [...served].sort();
      })
      .toEqual(["busy", "busy", "busy", "hung", "other"]);
    const stopped = ticker.stop();
    release();
    await stopped;
    expect(left).toEqual({ hung: 0, busy: 0, other: 0 });
  });
});
