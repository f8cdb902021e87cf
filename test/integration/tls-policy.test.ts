import { once } from "node:events";
import type tls from "node:tls";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { judge } from "../../src/cli/commands/operations.ts";
import { negotiate } from "../../src/cli/tls-probe.ts";
import { createOfflineRoot } from "../../src/identity/index.ts";
import { createTestDatabase, type TestDatabase } from "../support/database.ts";
import { createInstallation, TRUST_DOMAIN } from "../support/installation.ts";
import { dial, listenWith, type TestListener } from "../support/tls-peers.ts";

type Choices = "minVersion" | "maxVersion" | "ciphers" | "ecdhCurve";

describe("a TLS listener", () => {
  let test: TestDatabase;
  let listener: TestListener;
  let ca: string;
  beforeAll(async () => {
    test = await createTestDatabase();
    const { identity } = createInstallation(test);
    await identity.ensurePlatform();
    ca = await identity.rootCertificatePem();
    listener = await listenWith(identity);
  });
  afterAll(async () => {
    listener.close();
    await test.close();
  });

  async function agree(options: Pick<tls.ConnectionOptions, Choices>) {
    const { socket } = await dial(listener, { ca, ...options });
    const group = (socket.getEphemeralKeyInfo() as { name?: string }).name;
    const agreed = [socket.getProtocol(), socket.getCipher().standardName, group];
    socket.end();
    await once(socket, "close");
    return agreed;
  }

  it("prefers TLS 1.3 with the hybrid post-quantum exchange", async () => {
    const [protocol, cipher, group] = await agree({});
    expect([protocol, group]).toEqual(["TLSv1.3", "X25519MLKEM768"]);
    expect(cipher).toMatch(/^TLS_(AES|CHACHA20)/);
  });

  it("takes peers without it, and TLS 1.2 with forward secrecy and authenticated encryption", async () => {
    expect(await agree({ ecdhCurve: "X25519" })).toEqual(["TLSv1.3", expect.any(String), "X25519"]);
    const [protocol, cipher] = await agree({ maxVersion: "TLSv1.2" });
    expect(protocol).toBe("TLSv1.2");
    expect(cipher).toMatch(/^TLS_ECDHE_ECDSA_WITH_(AES_\d+_GCM|CHACHA20_POLY1305)_SHA/);
  });

  it.each([
    ["TLS 1.1", { minVersion: "TLSv1", maxVersion: "TLSv1.1", ciphers: "DEFAULT@SECLEVEL=0" }],
    ["CBC", { maxVersion: "TLSv1.2", ciphers: "ECDHE-ECDSA-AES128-SHA256" }],
    ["no forward secrecy", { maxVersion: "TLSv1.2", ciphers: "AES128-GCM-SHA256" }],
  ] as const)("refuses %s", async (_, options) => {
    await expect(agree(options)).rejects.toMatchObject({
      code: expect.stringMatching(/ALERT|ECONNRESET/),
    });
  });

  it("is described by vautn doctor as it negotiates", async () => {
    const found = await negotiate("127.0.0.1", listener.port, 5_000);
    const { state, detail } = judge(found, Date.now());
    expect(state).toBe("ok");
    expect(detail).toMatch(/^TLSv1\.3, TLS_\w+, X25519MLKEM768; O=Vautn, CN=localhost, ends 20/);
    expect(judge({ ...found, group: "X25519" }, Date.now()).state).toBe("note");
    expect(judge(found, found.notAfter.getTime()).state).toBe("problem");
  });

  it("that waits for the offline root is a problem to vautn doctor", async () => {
    const other = await createTestDatabase();
    const root = await createOfflineRoot({
      passphrase: "correct horse battery",
      trustDomain: TRUST_DOMAIN,
      now: Date.now(),
    });
    const { identity } = createInstallation(other, {
      givenRoot: { certificatePem: root.certificatePem },
    });
    await identity.ensurePlatform();
    const waiting = await listenWith(identity);
    const { state, detail } = judge(await negotiate("127.0.0.1", waiting.port, 5_000), Date.now());
    expect([state, detail]).toEqual(["problem", expect.stringContaining("vautn pki show")]);
    waiting.close();
    await other.close();
  });
});
