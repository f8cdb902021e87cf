import http from "node:http";
import type { AddressInfo } from "node:net";
import { exportJWK, generateKeyPair, type JWK, SignJWT } from "jose";
import { afterEach, beforeEach, describe, expect, it, vi } from "vitest";
import { systemClock } from "../../src/kernel/index.ts";
import type { SignInDeps } from "../../src/sign-in/deps.ts";
import { createFederatedTokens } from "../../src/sign-in/federated-token.ts";

const AUDIENCE = "https://vautn.example";
const MINUTE_MS = 60_000;

/** An issuer whose keys change, and how often it was asked for them. */
async function startIssuer() {
  let keys: JWK[] = [];
  const asked = { description: 0, keys: 0 };
  const server = http.createServer((request, response) => {
    const isDescription = request.url?.includes("openid-configuration") ?? false;
    asked[isDescription ? "description" : "keys"] += 1;
    const description = { issuer, jwks_uri: `${issuer}/keys` };
    response.setHeader("content-type", "application/json");
    response.end(JSON.stringify(isDescription ? description : { keys }));
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  const issuer = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  return {
    issuer,
    asked,
    /** A signer under a new key; `publish` is what the issuer shows from now on. */
    async newKey(kid: string) {
      const { privateKey, publicKey } = await generateKeyPair("ES256");
      const jwk = { ...(await exportJWK(publicKey)), kid, alg: "ES256", use: "sig" };
      const sign = () =>
        new SignJWT({})
          .setProtectedHeader({ alg: "ES256", kid })
          .setIssuer(issuer)
          .setAudience(AUDIENCE)
          .setSubject("pipeline")
          .setIssuedAt()
          .setExpirationTime("5 minutes")
          .sign(privateKey);
      return { jwk, sign };
    },
    publish(...shown: { jwk: JWK }[]) {
      keys = shown.map(({ jwk }) => jwk);
    },
    close: () => new Promise((resolve) => server.close(resolve)),
  };
}

describe("tokens of an issuer whose keys change", () => {
  let issuer: Awaited<ReturnType<typeof startIssuer>>;
  let verify: ReturnType<typeof createFederatedTokens>;
  const accept = (token: string) =>
    verify(token, { issuer: issuer.issuer, audience: AUDIENCE }).then(({ sub }) => sub);

  beforeEach(async () => {
    vi.useFakeTimers({ toFake: ["Date"] });
    issuer = await startIssuer();
    const deps = { clock: systemClock, privateIssuers: [issuer.issuer] };
    verify = createFederatedTokens(deps as Partial<SignInDeps> as SignInDeps);
  });
  afterEach(async () => {
    vi.useRealTimers();
    await issuer.close();
  });

  it("cost one look at its keys, however many come", async () => {
    const old = await issuer.newKey("old");
    issuer.publish(old);
    for (let times = 0; times < 5; times += 1)
      expect(await accept(await old.sign())).toBe("pipeline");
    expect(issuer.asked).toEqual({ description: 1, keys: 1 });
  });

  it("are believed under the new key soon after, and no longer under one that was taken back", async () => {
    const [old, next] = [await issuer.newKey("old"), await issuer.newKey("next")];
    issuer.publish(old);
    expect(await accept(await old.sign())).toBe("pipeline");
    issuer.publish(old, next);
    vi.setSystemTime(Date.now() + MINUTE_MS);
    expect(await accept(await next.sign())).toBe("pipeline");
    expect(issuer.asked.keys).toBe(2);
    issuer.publish(next);
    vi.setSystemTime(Date.now() + 11 * MINUTE_MS);
    await expect(accept(await old.sign())).rejects.toThrow();
    expect(await accept(await next.sign())).toBe("pipeline");
  });

  it("under keys that nobody knows do not make us ask again and again", async () => {
    const [known, strange] = [await issuer.newKey("known"), await issuer.newKey("strange")];
    issuer.publish(known);
    expect(await accept(await known.sign())).toBe("pipeline");
    for (let times = 0; times < 20; times += 1) {
      await expect(accept(await strange.sign())).rejects.toThrow();
    }
    expect(issuer.asked.keys).toBe(1);
    vi.setSystemTime(Date.now() + MINUTE_MS);
    for (let times = 0; times < 20; times += 1) {
      await expect(accept(await strange.sign())).rejects.toThrow();
    }
    expect(issuer.asked.keys).toBe(2);
  });

  it("are refused while it cannot be asked, and believed as soon as it can", async () => {
    const one = await issuer.newKey("one");
    await expect(accept(await one.sign())).rejects.toThrow();
    issuer.publish(one);
    vi.setSystemTime(Date.now() + MINUTE_MS);
    expect(await accept(await one.sign())).toBe("pipeline");
  });
});
