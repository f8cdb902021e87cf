import type { IConnectPacket } from "mqtt-packet";
import { subjects } from "../../bus/index.ts";
import { isAppError, LIMITS, timeOrderedId } from "../../kernel/index.ts";
import { MAX_RETAINED_BYTES } from "../exchange/exchange.ts";
import { exchangeTenant } from "../exchange/topics.ts";
import { applicationConnects } from "../gateway-metrics.ts";
import { storedWill, type Will, willFrom } from "../packets/will.ts";
import { ConnectionFault, REASON, returnCodeOf } from "../reason-codes.ts";
import { TOPIC_ALIAS_MAXIMUM } from "../topic-aliases.ts";
import { exchangeTarget } from "./access.ts";
import type { Application } from "./application.ts";
import type { Credentials } from "./application-authentication.ts";
import type { ClaimedApplication } from "./application-session.ts";

/** MQTT 5.0 §3.1.2.11.3 and .4: what counts where the client says nothing. */
const DEFAULT_RECEIVE_MAXIMUM = 65_535;
const DEFAULT_MAXIMUM_PACKET_SIZE = 268_435_455;
const MAX_CLIENT_ID = 256;

/** Accepts or refuses an application: its API key or its certificate says who it is. */
export async function handleApplicationConnect(
  application: Application,
  packet: IConnectPacket,
): Promise<void> {
  try {
    checkConnect(packet);
    const credentials = await application.authenticate(packet);
    await accept(application, packet, credentials);
    applicationConnects.inc({ outcome: "accepted" });
  } catch (error) {
    const fault = asFault(error);
    applicationConnects.inc({ outcome: `refused-${fault.reason.toString(16)}` });
    refuse(application, packet, fault);
  }
}

function checkConnect(packet: IConnectPacket): void {
  const { properties = {}, clientId, clean, protocolVersion } = packet;
  if (packet.protocolId !== "MQTT") {
    throw new ConnectionFault(REASON.unsupportedProtocolVersion, "only MQTT is spoken here");
  }
  // MQTT 5.0 §4.12 [MQTT-4.12.0-1]: a method that the server does not know.
  if (properties.authenticationMethod !== undefined) {
    throw new ConnectionFault(REASON.badAuthenticationMethod, "no method is spoken here");
  }
  for (const name of ["receiveMaximum", "maximumPacketSize"] as const) {
    const value = properties[name];
    // MQTT 5.0 §3.1.2.11.3, §3.1.2.11.4: neither may be zero or come twice.
    if (value !== undefined && !(typeof value === "number" && value > 0)) {
      throw new ConnectionFault(REASON.protocolError, `${name} is not valid`);
    }
  }
  // MQTT 3.1.1 §3.1.3.1 [MQTT-3.1.3-8]: a session that stays needs a name.
  const isNameless = clientId === "" && protocolVersion !== 5 && clean === false;
  if (isNameless || clientId.length > MAX_CLIENT_ID) {
    throw new ConnectionFault(
      REASON.clientIdentifierNotValid,
      "the client identifier is not valid",
    );
  }
}

/** A will goes to the tenant's other applications, and to nothing else: an order that nobody gives
 * any more is no order. */
function willOf(packet: IConnectPacket, { principal }: Credentials): Will | undefined {
  const { will } = packet;
  if (!will) return undefined;
  const tenantId = exchangeTarget(principal, will.topic);
  const { responseTopic } = will.properties ?? {};
  const isForeign = responseTopic !== undefined && exchangeTenant(responseTopic) !== tenantId;
  if (tenantId === undefined || isForeign) {
    throw new ConnectionFault(REASON.notAuthorized, "the will's topic is not this application's");
  }
  if (will.payload.length > MAX_RETAINED_BYTES) {
    throw new ConnectionFault(REASON.quotaExceeded, "the will is too large");
  }
  return willFrom(will);
}

/** The session of the client, if it has one tenant and there is a database; others hear of it. */
async function claim(
  { context }: Application,
  packet: IConnectPacket,
  facts: { credentials: Credentials; clientKey: string; will: Will | undefined },
): Promise<ClaimedApplication | undefined> {
  const { exchange, limits, deps } = context;
  const { credentials, clientKey, will } = facts;
  const [tenantId, ...others] = Object.keys(credentials.principal.rolesByTenant);
  if (!exchange || tenantId === undefined || others.length > 0) return undefined;
  const longest = limits.sessionExpirySeconds;
  // MQTT 3.1.1 §3.1.2.4: without Clean Session the state is stored after the disconnection.
  const asked =
    packet.protocolVersion === 5
      ? (packet.properties?.sessionExpiryInterval ?? 0)
      : Number(packet.clean === false) * longest;
  const claimed = await exchange.claim(tenantId, {
    clientKey,
    resume: packet.clean === false,
    expirySeconds: Math.min(asked, longest),
    will: will && storedWill(will),
  });
  const { epoch } = claimed;
  deps.bus.publish(subjects.application(tenantId), { clientKey, epoch });
  return { ...claimed, tenantId, clientKey, will };
}

async function accept(
  application: Application,
  packet: IConnectPacket,
  credentials: Credentials,
): Promise<void> {
  const { byClient, limits, deps, exchange } = application.context;
  const { properties = {}, clientId } = packet;
  const asked = packet.keepalive ?? 0;
  const keepAliveSeconds =
    asked === 0 ? limits.maxKeepAliveSeconds : Math.min(asked, limits.maxKeepAliveSeconds);
  const assigned = clientId === "" ? timeOrderedId(deps.clock.now()) : undefined;
  const { kind, id } = credentials.principal.actor;
  const [tenantId = ""] = Object.keys(credentials.principal.rolesByTenant);
  const clientKey = `${tenantId}/${kind}/${id}/${assigned ?? clientId}`;
  const will = willOf(packet, credentials);
  const claimed = await claim(application, packet, { credentials, clientKey, will });
  if (application.isClosed) return;
  // MQTT 5.0 §3.1.4 [MQTT-3.1.4-3]: the same client id, of the same key, takes over.
  const former = byClient.get(clientKey);
  former?.takeOver();
  byClient.set(clientKey, application);
  const version = packet.protocolVersion === 5 ? 5 : 4;
  application.open({
    ...{ ...credentials, clientKey, version, keepAliveSeconds, claimed },
    wantsReasons: properties.requestProblemInformation !== false,
    receiveMaximum: properties.receiveMaximum ?? DEFAULT_RECEIVE_MAXIMUM,
    maxPacketBytes: properties.maximumPacketSize ?? DEFAULT_MAXIMUM_PACKET_SIZE,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
  });
  const sessionPresent = claimed?.resumed === true;
  if (version === 4) {
    application.send({ cmd: "connack", returnCode: 0, sessionPresent });
    application.resume();
    return;
  }
  const expirySeconds = claimed?.expirySeconds ?? 0;
  const askedExpiry = properties.sessionExpiryInterval ?? 0;
  application.send({
    cmd: "connack",
    reasonCode: REASON.success,
    sessionPresent,
    properties: {
      receiveMaximum: limits.inboundInflight,
      maximumPacketSize: LIMITS.mqttPacketBytes,
      topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
      ...(exchange ? {} : { retainAvailable: false }),
      // MQTT 5.0 §3.2.2.3.2: what the client asked for is not what it gets.
      ...(askedExpiry === expirySeconds ? {} : { sessionExpiryInterval: expirySeconds }),
      ...(assigned === undefined ? {} : { assignedClientIdentifier: assigned }),
      ...(asked === keepAliveSeconds ? {} : { serverKeepAlive: keepAliveSeconds }),
    },
  });
  application.resume();
}

function asFault(error: unknown): ConnectionFault {
  if (error instanceof ConnectionFault) return error;
  if (isAppError(error, "unauthenticated")) {
    return new ConnectionFault(REASON.badUserNameOrPassword, "the key is not valid");
  }
  if (isAppError(error, "certificate-refused")) {
    return new ConnectionFault(REASON.notAuthorized, error.message);
  }
  return new ConnectionFault(REASON.serverUnavailable, "the platform cannot answer at the moment");
}

/** MQTT 5.0 §3.1.4: a CONNACK with the reason, then the end of the connection. */
function refuse(application: Application, packet: IConnectPacket, fault: ConnectionFault): void {
  if (packet.protocolVersion === 5) {
    const properties = { reasonString: fault.message };
    const reasonCode = fault.reason;
    const largest = packet.properties?.maximumPacketSize || undefined;
    application.send({ cmd: "connack", reasonCode, sessionPresent: false, properties }, 5, largest);
  } else {
    const returnCode = returnCodeOf(fault.reason);
    application.send({ cmd: "connack", returnCode, sessionPresent: false }, 4);
  }
  application.close();
}
