import type { IConnectPacket } from "mqtt-packet";
import { isAppError, LIMITS, timeOrderedId } from "../../kernel/index.ts";
import type { Principal } from "../../tenancy/index.ts";
import { applicationConnects } from "../gateway-metrics.ts";
import { ConnectionFault, REASON, returnCodeOf } from "../reason-codes.ts";
import { TOPIC_ALIAS_MAXIMUM } from "../topic-aliases.ts";
import type { Application } from "./application.ts";

/** User name of those who do not know their key's id. */
const ANY_KEY = "apikey";
const KEY_PREFIX = "vk_";
/** MQTT 5.0 §3.1.2.11.3 and .4: what counts where the client says nothing. */
const DEFAULT_RECEIVE_MAXIMUM = 65_535;
const DEFAULT_MAXIMUM_PACKET_SIZE = 268_435_455;

/** Accepts or refuses an application: an API key says who it is. */
export async function handleApplicationConnect(
  application: Application,
  packet: IConnectPacket,
): Promise<void> {
  try {
    checkConnect(packet);
    const token = packet.password?.toString() ?? "";
    const principal = await authenticate(application, packet, token);
    accept(application, packet, { principal, token });
    applicationConnects.inc({ outcome: "accepted" });
  } catch (error) {
    const fault = asFault(error);
    applicationConnects.inc({ outcome: `refused-${fault.reason.toString(16)}` });
    refuse(application, packet, fault);
  }
}

function checkConnect(packet: IConnectPacket): void {
  const { properties = {} } = packet;
  // MQTT 5.0 §4.12 [MQTT-4.12.0-1]: a method that the server does not know.
  if (properties.authenticationMethod !== undefined) {
    throw new ConnectionFault(REASON.badAuthenticationMethod, "an API key authenticates");
  }
  for (const name of ["receiveMaximum", "maximumPacketSize"] as const) {
    const value = properties[name];
    // MQTT 5.0 §3.1.2.11.3, §3.1.2.11.4: neither may be zero or come twice.
    if (value !== undefined && !(typeof value === "number" && value > 0)) {
      throw new ConnectionFault(REASON.protocolError, `${name} is not valid`);
    }
  }
  // An order that nobody gives any more is no order.
  if (packet.will) throw new ConnectionFault(REASON.notAuthorized, "an application has no will");
}

async function authenticate(
  { context }: Application,
  { username }: IConnectPacket,
  token: string,
): Promise<Principal> {
  // A person's session belongs to the browser, and is no key.
  if (!token.startsWith(KEY_PREFIX)) throw notThisKey();
  const principal = await context.deps.tenancy.authenticate(token);
  const { kind, id } = principal.actor;
  if (username !== ANY_KEY && !(kind === "api-key" && username === id)) throw notThisKey();
  return principal;
}

function notThisKey(): ConnectionFault {
  return new ConnectionFault(REASON.badUserNameOrPassword, "no API key, or not this one's name");
}

function accept(
  application: Application,
  packet: IConnectPacket,
  { principal, token }: { principal: Principal; token: string },
): void {
  const { byClient, limits, deps } = application.context;
  const { properties = {}, clientId } = packet;
  const asked = packet.keepalive ?? 0;
  const keepAliveSeconds =
    asked === 0 ? limits.maxKeepAliveSeconds : Math.min(asked, limits.maxKeepAliveSeconds);
  const assigned = clientId === "" ? timeOrderedId(deps.clock.now()) : undefined;
  const clientKey = `${principal.actor.id}/${assigned ?? clientId}`;
  // MQTT 5.0 §3.1.4 [MQTT-3.1.4-3]: the same client id, of the same key, takes over.
  const former = byClient.get(clientKey);
  former?.fail(new ConnectionFault(REASON.sessionTakenOver, "the client has connected again"));
  byClient.set(clientKey, application);
  const version = packet.protocolVersion === 5 ? 5 : 4;
  application.open({
    ...{ principal, token, clientKey, version, keepAliveSeconds },
    receiveMaximum: properties.receiveMaximum ?? DEFAULT_RECEIVE_MAXIMUM,
    maxPacketBytes: properties.maximumPacketSize ?? DEFAULT_MAXIMUM_PACKET_SIZE,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
  });
  if (version === 4) {
    application.send({ cmd: "connack", returnCode: 0, sessionPresent: false });
    return;
  }
  application.send({
    cmd: "connack",
    reasonCode: REASON.success,
    sessionPresent: false,
    properties: {
      receiveMaximum: limits.inboundInflight,
      maximumPacketSize: LIMITS.mqttPacketBytes,
      topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
      retainAvailable: false,
      ...(properties.sessionExpiryInterval ? { sessionExpiryInterval: 0 } : {}),
      ...(assigned === undefined ? {} : { assignedClientIdentifier: assigned }),
      ...(asked === keepAliveSeconds ? {} : { serverKeepAlive: keepAliveSeconds }),
    },
  });
}

function asFault(error: unknown): ConnectionFault {
  if (error instanceof ConnectionFault) return error;
  if (isAppError(error, "unauthenticated")) {
    return new ConnectionFault(REASON.badUserNameOrPassword, "the key is not valid");
  }
  return new ConnectionFault(REASON.serverUnavailable, "the platform cannot answer at the moment");
}

/** MQTT 5.0 §3.1.4: a CONNACK with the reason, then the end of the connection. */
function refuse(application: Application, packet: IConnectPacket, fault: ConnectionFault): void {
  if (packet.protocolVersion === 5) {
    const properties = { reasonString: fault.message };
    const reasonCode = fault.reason;
    application.send({ cmd: "connack", reasonCode, sessionPresent: false, properties }, 5);
  } else {
    const returnCode = returnCodeOf(fault.reason);
    application.send({ cmd: "connack", returnCode, sessionPresent: false }, 4);
  }
  application.close();
}
