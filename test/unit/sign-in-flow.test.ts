import { createServer, type Server } from "node:http";
import type { AddressInfo } from "node:net";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { createGuardedFetch } from "../../src/kernel/guarded-fetch.ts";
import { systemClock, VirtualClock } from "../../src/kernel/index.ts";
import { createSealer } from "../../src/kernel/sealing.ts";
import { type Flow, openFlow, ownPath, sealFlow } from "../../src/sign-in/flow.ts";

describe("a flow in a browser's cookie", () => {
  const sealer = createSealer(Buffer.alloc(32, 1));
  const clock = new VirtualClock();
  const flow: Flow = {
    provider: "corp",
    state: "s",
    nonce: "n",
    verifier: "v",
    redirectUri: "https://console.example.com/callback",
    next: "/",
    expiresAt: clock.now() + 1_000,
  };

  it("comes back as it went, until it is too old", async () => {
    const sealed = sealFlow(sealer, flow);
    expect(sealed).not.toContain("verifier");
    expect(openFlow(sealer, clock, sealed)).toEqual(flow);
    await clock.advance(1_000);
    expect(openFlow(sealer, clock, sealed)).toBeUndefined();
  });

  it("is nothing where it was altered, made up, too long, or sealed elsewhere or for else", () => {
    const fresh = { ...flow, expiresAt: clock.now() + 1_000 };
    const sealed = sealFlow(sealer, fresh);
    expect(openFlow(sealer, clock, sealed)).toEqual(fresh);
    const bytes = Buffer.from(sealed, "base64url");
    bytes[bytes.length - 1] = (bytes.at(-1) as number) ^ 1;
    const elsewhere = sealFlow(createSealer(Buffer.alloc(32, 2)), fresh);
    const otherUse = sealer.seal(JSON.stringify(fresh), "another context").toString("base64url");
    const bad = [bytes.toString("base64url"), "", "AAAA", elsewhere, otherUse, "A".repeat(5_000)];
    for (const text of bad) expect(openFlow(sealer, clock, text)).toBeUndefined();
  });
});

describe("the path to go to after signing in", () => {
  it.each(["/", "/t/acme/fleet?q=online#top", "/devices/a%2Fb"])("may be %s", (path) => {
    expect(ownPath(path)).toBe(path);
  });

  it.each([
    undefined,
    "",
    "fleet",
    "//evil.example",
    "///evil.example",
    "/\\evil.example",
    "\\\\evil.example",
    "/\t/evil.example",
    "/\n/evil.example",
    "https://evil.example",
    "javascript:alert(1)",
    `/${"a".repeat(2_000)}`,
  ])("is the front page instead of %j", (path) => {
    expect(ownPath(path)).toBe("/");
  });
});

describe("a request to an address that others have named", () => {
  let server: Server;
  let origin: string;
  const seen: string[] = [];
  beforeAll(async () => {
    server = createServer((request, response) => {
      seen.push(`${request.method} ${request.url}`);
      if (request.url === "/away") response.writeHead(302, { location: "http://127.0.0.1:1/" });
      if (request.url === "/endless") response.write("x".repeat(600_000));
      response.end("{}");
    });
    await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
    origin = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  });
  afterAll(() => server.close());

  const fetchWith = (options: object = {}) =>
    createGuardedFetch({
      ...{ clock: systemClock, allowPrivateAddresses: false, privateOrigins: [] },
      ...options,
    });

  it("goes to an origin that the installation names, and follows no redirect", async () => {
    const guarded = fetchWith({ privateOrigins: [origin] });
    expect(await (await guarded(`${origin}/`)).json()).toEqual({});
    const away = await guarded(`${origin}/away`);
    expect(away.status).toBe(302);
    expect(seen).toEqual(["GET /", "GET /away"]);
  });

  it("refuses to read more than an answer of this kind has", async () => {
    const guarded = fetchWith({ privateOrigins: [origin] });
    await expect(guarded(`${origin}/endless`)).rejects.toThrow(/too much/);
  });

  it("goes to no private address, by name or number, and speaks no plain HTTP", async () => {
    const named = [{ address: "10.1.2.3", family: 4 }];
    const both = [{ address: "203.0.114.1", family: 4 }, ...named];
    const asked = seen.length;
    const cases: [string, object, RegExp][] = [
      [origin, {}, /not reached by https/],
      [origin.replace("http:", "https:"), {}, /private/],
      ["https://[::ffff:127.0.0.1]/", {}, /private/],
      ["https://intern.example/", { resolve: async () => named }, /private/],
      ["https://rebinding.example/", { resolve: async () => both }, /private/],
      ["https://user:secret@example.com/", {}, /credentials/],
      // The name of one origin is not the name of its neighbour.
      [`${origin}1`.slice(0, -2), { privateOrigins: [origin] }, /https/],
    ];
    for (const [url, options, message] of cases) {
      await expect(fetchWith(options)(url), url).rejects.toThrow(message);
    }
    expect(seen).toHaveLength(asked);
  });
});
