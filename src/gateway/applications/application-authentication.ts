import type { TLSSocket } from "node:tls";
import type { IConnectPacket } from "mqtt-packet";
import type { ApplicationPeers } from "../../identity/index.ts";
import type { Principal, Tenancy } from "../../tenancy/index.ts";
import { ConnectionFault, REASON } from "../reason-codes.ts";

/** User name of those who do not know their key's id. */
const ANY_KEY = "apikey";
const KEY_PREFIX = "vk_";

/** Who an application is, and how that is asked again while it is connected. */
export interface Credentials {
  principal: Principal;
  /** Throws where it may not be connected any more. */
  recheck(): Promise<Principal>;
}

/** Throws ConnectionFault, `unauthenticated` or `certificate-refused`. */
export type Authenticate = (packet: IConnectPacket) => Promise<Credentials>;

/** By an API key: the user name is its id or `apikey`, the password the key. */
export function byApiKey(tenancy: Pick<Tenancy, "authenticate">): Authenticate {
  return async ({ username, password }) => {
    const token = password?.toString() ?? "";
    // A person's session belongs to the browser, and is no key.
    if (!token.startsWith(KEY_PREFIX)) throw notThisKey();
    const principal = await tenancy.authenticate(token);
    const { kind, id } = principal.actor;
    if (username !== ANY_KEY && !(kind === "api-key" && username === id)) throw notThisKey();
    return { principal, recheck: () => tenancy.authenticate(token) };
  };
}

/** By the certificate of its TLS connection; user name and password mean nothing. */
export function byCertificate(
  peers: Pick<ApplicationPeers, "authenticate">,
  socket: TLSSocket,
): Authenticate {
  const identify = async () => (await peers.authenticate(socket)).principal;
  return async () => ({ principal: await identify(), recheck: identify });
}

function notThisKey(): ConnectionFault {
  return new ConnectionFault(REASON.badUserNameOrPassword, "no API key, or not this one's name");
}
