import { once } from "node:events";
import tls from "node:tls";
import type { DevicePeer, Identity } from "../../src/identity/index.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { reloadSecureContext, TLS_POLICY } from "../../src/kernel/tls-policy.ts";

export interface TestListener {
  port: number;
  /** Looks for new credentials at once. */
  reload(): Promise<void>;
  /** What the identity module says of each client, in the order of their coming. */
  verdicts: Promise<DevicePeer | string>[];
  close(): void;
}

/** A TLS listener as gateway and device HTTPS have theirs; it echoes what it is sent. */
export async function listenWith(identity: Identity): Promise<TestListener> {
  const load = async () => {
    const { keyPem, certificatePem } = await identity.serverCredentials();
    return { key: keyPem, cert: certificatePem, ca: await identity.rootCertificatePem() };
  };
  const initial = await load();
  const verdicts: Promise<DevicePeer | string>[] = [];
  const server = tls.createServer({
    ...TLS_POLICY,
    ...initial,
    requestCert: true,
    rejectUnauthorized: false,
    sessionIdContext: "test",
  });
  server.on("secureConnection", (socket) => {
    verdicts.push(
      identity
        .authenticatePeer(socket)
        .catch((error) => String(error.details?.reason ?? error.message)),
    );
    socket.on("error", () => {});
    socket.pipe(socket);
  });
  server.listen(0, "127.0.0.1");
  await once(server, "listening");
  const reload = reloadSecureContext(server, {
    load,
    initial,
    sessionIdContext: "test",
    clock: systemClock,
    onError: (error) => {
      throw error;
    },
  });
  const stopHearing = identity.onAuthorityChanged(() => void reload.now());
  return {
    port: (server.address() as { port: number }).port,
    reload: reload.now,
    verdicts,
    close() {
      stopHearing();
      reload.stop();
      server.close();
    },
  };
}

export interface Dialled {
  socket: tls.TLSSocket;
  /** Fingerprint of the server's certificate; empty on a resumed session. */
  server: string;
}

/** A client that trusts `ca` alone; rejects as the handshake does. */
export async function dial(
  listener: { port: number },
  options: { ca: string; key?: string; cert?: string } & tls.ConnectionOptions,
): Promise<Dialled> {
  const socket = tls.connect({
    host: "127.0.0.1",
    servername: "localhost",
    port: listener.port,
    ...options,
  });
  await once(socket, "secureConnect");
  const server = socket.getPeerX509Certificate()?.fingerprint256 ?? "";
  return { socket, server };
}

/** Whether what is sent comes back. */
export async function echoes(socket: tls.TLSSocket): Promise<boolean> {
  socket.write("ping");
  const [answer] = await once(socket, "data");
  return String(answer) === "ping";
}
