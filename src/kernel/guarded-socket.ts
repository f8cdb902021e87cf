import net, { isIP } from "node:net";
import tls from "node:tls";
import { type Resolve, resolveGuarded } from "./guarded-request.ts";
import type { PrivateAddresses } from "./public-address.ts";
import { TLS_POLICY } from "./tls-policy.ts";

export interface SocketTarget {
  host: string;
  port: number;
  /** TLS where present; an authority of its own in PEM, or those of the system. */
  tls?: { ca: string | null };
}

/**
 * Sends bytes to an address that somebody else has named and ends the connection in order; resolves when
 * the other end has taken them and ended too. As with requests, the host is resolved once, every
 * address must be public, and the connection goes to the one that was checked.
 */
export async function sendGuarded(
  target: SocketTarget,
  bytes: Buffer,
  options: {
    allowPrivateAddresses: PrivateAddresses;
    resolve?: Resolve | undefined;
    timeoutMs: number;
  },
): Promise<void> {
  const { address } = await resolveGuarded(target.host, options);
  await new Promise<void>((resolve, reject) => {
    const place = { host: address, port: target.port };
    const servername = isIP(target.host) ? "" : target.host;
    const socket = target.tls
      ? tls.connect({
          ...{ ...TLS_POLICY, ...place, servername },
          ...(target.tls.ca ? { ca: target.tls.ca } : {}),
          // The name that was given is checked, not the address that it led to.
          checkServerIdentity: (_name, certificate) =>
            tls.checkServerIdentity(target.host, certificate),
        })
      : net.connect(place);
    socket.setTimeout(options.timeoutMs, () =>
      socket.destroy(new Error(`no answer within ${options.timeoutMs / 1_000} s`)),
    );
    socket.once("error", reject);
    socket.once("close", (hadError) => {
      if (!hadError) resolve();
    });
    socket.once(target.tls ? "secureConnect" : "connect", () => socket.end(bytes));
    socket.resume();
  });
}
