import type { IConnackPacket, IConnectPacket } from "mqtt-packet";
import { AppError, isAppError, LIMITS, messageOf } from "../../kernel/index.ts";
import { plainConnack } from "../codec.ts";
import type { Connection, OpenOptions } from "../connection.ts";
import type { GatewayPeer } from "../deps.ts";
import { connectsTotal, limitsTotal } from "../gateway-metrics.ts";
import { ConnectionFault, REASON, type ReasonCode, returnCodeOf } from "../reason-codes.ts";
import type { ClaimedSession, WillOutcome } from "../sessions-store.ts";
import { TOPIC_ALIAS_MAXIMUM } from "../topic-aliases.ts";
import { wakeDeliveries } from "./subscribe.ts";
import { readWill, storedWill } from "./will.ts";

/** MQTT 5.0 §3.1.2.11.3 and .4: what counts where the client says nothing. */
const DEFAULT_RECEIVE_MAXIMUM = 65_535;
const DEFAULT_MAXIMUM_PACKET_SIZE = 268_435_455;
/** A device that is revoked again and again while it connects is not worth more tries. */
const MAX_AUTHENTICATIONS = 3;
const RENEWAL_ONLY = { reasonString: "the certificate has expired: it may be renewed, no more" };
const TIME_ERRORS = ["CERT_HAS_EXPIRED", "CERT_NOT_YET_VALID"];

/**
 * Accepts or refuses a connection. Who it is comes from the certificate alone: client id, user name
 * and password are accepted and mean nothing.
 */
export async function handleConnect(connection: Connection, packet: IConnectPacket): Promise<void> {
  try {
    checkConnect(packet);
    const peer = await authenticate(connection);
    admit(connection, peer);
    const will = willOrRefusal(connection, peer, packet);
    const expirySeconds = sessionExpiryOf(connection, packet);
    const { sessions, standing } = connection.context;
    const before = standing.position;
    const claimed = await sessions.claim(peer, {
      resume: packet.clean === false,
      expirySeconds,
      will: will && storedWill(will),
    });
    // A revocation may have come while the database was asked.
    const isStale = standing.hasConcerned(peer, before);
    const current = isStale ? await authenticate(connection) : peer;
    if (connection.isClosed) {
      // It was never accepted, so it has no will (MQTT 5.0 §3.1.2.5).
      if (will) sessions.settleWill(peer.tenantId, disarmed(peer, claimed));
      return;
    }
    const session = { claimed, sessionExpirySeconds: expirySeconds };
    accept(connection, packet, { peer: current, will, ...session });
    connectsTotal.inc({ outcome: "accepted" });
  } catch (error) {
    const fault = asFault(connection, error);
    connectsTotal.inc({ outcome: `refused-${fault.reason.toString(16)}` });
    refuse(connection, packet, fault);
  }
}

function disarmed({ deviceId }: GatewayPeer, { epoch }: ClaimedSession): WillOutcome {
  return { deviceId, epoch, isPublished: true };
}

function checkConnect(packet: IConnectPacket): void {
  const v5 = packet.protocolVersion === 5;
  if (packet.protocolId !== "MQTT") {
    throw new ConnectionFault(REASON.unsupportedProtocolVersion, "only MQTT is spoken here");
  }
  // MQTT 3.1.1 §3.1.2.9 [MQTT-3.1.2-22]: no password without a user name.
  if (!v5 && packet.password !== undefined && packet.username === undefined) {
    throw new ConnectionFault(REASON.malformedPacket, "a password without a user name");
  }
  // MQTT 5.0 §4.12 [MQTT-4.12.0-1]: a method that the server does not know.
  if (packet.properties?.authenticationMethod !== undefined) {
    throw new ConnectionFault(REASON.badAuthenticationMethod, "the certificate authenticates");
  }
  for (const name of ["receiveMaximum", "maximumPacketSize"] as const) {
    const value = packet.properties?.[name];
    // MQTT 5.0 §3.1.2.11.3, §3.1.2.11.4: neither may be zero or come twice.
    if (value !== undefined && !(typeof value === "number" && value > 0)) {
      throw new ConnectionFault(REASON.protocolError, `${name} is not valid`);
    }
  }
}

/** Who is there; asked anew where a revocation came while the answer was on its way. */
async function authenticate(connection: Connection): Promise<GatewayPeer> {
  const { deps, standing } = connection.context;
  for (let attempt = 0; attempt < MAX_AUTHENTICATIONS; attempt += 1) {
    const before = standing.position;
    const peer = await deps.identity.authenticatePeer(connection.socket, { renewal: true });
    refuseUnverified(connection, peer);
    if (!standing.hasConcerned(peer, before)) return peer;
  }
  throw new AppError("unavailable", "certificates are being revoked at the moment");
}

/**
 * A second look, whatever the identity module has found: nobody passes whom TLS did not verify, but
 * for those whose authority the tenant has registered. The listener does not know those authorities.
 */
function refuseUnverified({ socket, context }: Connection, peer: GatewayPeer): void {
  const error = socket.authorized ? undefined : String(socket.authorizationError);
  // OpenSSL goes by the machine's clock; the platform's own decides about time.
  const isVerified =
    error === undefined || TIME_ERRORS.includes(error) || peer.registeredAuthorityId !== undefined;
  const now = context.deps.clock.now();
  if (isVerified && peer.notAfter.getTime() > now) return;
  const why = isVerified ? "it has expired" : error;
  throw new AppError("certificate-refused", `the certificate is not valid: ${why}`, { why });
}

function admit({ context }: Connection, { tenantId, deviceId }: GatewayPeer): void {
  const now = context.deps.clock.now();
  // The device first: one that comes again and again must not use up what its tenant may.
  if (!context.deviceConnects.take(`${tenantId}/${deviceId}`, now)) {
    limitsTotal.inc({ limit: "device-connects" });
    throw new ConnectionFault(REASON.connectionRateExceeded, "the device connects too often");
  }
  if (!context.tenantConnects.take(tenantId, now)) {
    limitsTotal.inc({ limit: "tenant-connects" });
    throw new ConnectionFault(REASON.connectionRateExceeded, "the tenant connects too often");
  }
}

/** How long the session stays without a connection; MQTT 3.1.1 can only say whether it stays. */
function sessionExpiryOf({ context }: Connection, packet: IConnectPacket): number {
  const longest = context.limits.sessionExpirySeconds;
  // MQTT 3.1.1 §3.1.2.4: without Clean Session the state is stored after the disconnection.
  if (packet.protocolVersion !== 5) return packet.clean === false ? longest : 0;
  return Math.min(packet.properties?.sessionExpiryInterval ?? 0, longest);
}

type Accepted = Pick<OpenOptions, "peer" | "will" | "claimed" | "sessionExpirySeconds">;

function accept(connection: Connection, packet: IConnectPacket, accepted: Accepted): void {
  const { registry, limits, sessions } = connection.context;
  const { properties = {} } = packet;
  const { peer, claimed } = accepted;
  const current = registry.find(peer);
  const isLate = current?.isOpen === true && current.session.epoch > claimed.epoch;
  if (isLate || sessions.isSuperseded(peer, claimed.epoch)) {
    throw new ConnectionFault(REASON.sessionTakenOver, "the device has connected again meanwhile");
  }
  const asked = packet.keepalive ?? 0;
  const keepAliveSeconds = asked === 0 ? limits.maxKeepAliveSeconds : asked;
  // MQTT 5.0 §3.1.4 [MQTT-3.1.4-3]: the newer connection of a device ends the older one.
  const former = registry.claim(peer, connection);
  former?.takeOver(claimed.resumed);
  connection.open({
    ...accepted,
    version: packet.protocolVersion === 5 ? 5 : 4,
    keepAliveSeconds: Math.min(keepAliveSeconds, limits.maxKeepAliveSeconds),
    receiveMaximum: properties.receiveMaximum ?? DEFAULT_RECEIVE_MAXIMUM,
    maxPacketBytes: properties.maximumPacketSize ?? DEFAULT_MAXIMUM_PACKET_SIZE,
    topicAliasMaximum: properties.topicAliasMaximum ?? 0,
    wantsReasons: properties.requestProblemInformation !== false,
  });
  if (connection.version === 4) connection.sendBytes(plainConnack(connection.session.isPresent));
  else connection.send(connackOf(connection, packet, keepAliveSeconds));
  if (claimed.resumed) {
    connection.outbound.resume(claimed.state.inflight);
    wakeDeliveries(connection);
  }
  if (peer.access) connectsTotal.inc({ outcome: `accepted-for-${peer.access}` });
}

function willOrRefusal(connection: Connection, peer: GatewayPeer, packet: IConnectPacket) {
  try {
    return readWill(peer, packet, connection.context.limits.retainedBytes);
  } catch (error) {
    const target = { kind: "topic", id: packet.will?.topic ?? "" };
    connection.context.refusals.record(peer, "mqtt.connect", target, messageOf(error));
    throw error;
  }
}

function connackOf(
  connection: Connection,
  packet: IConnectPacket,
  keepAliveSeconds: number,
): IConnackPacket {
  const { limits } = connection.context;
  // MQTT 5.0 §3.2.2.1.1 [MQTT-3.2.2-2], [MQTT-3.2.2-3]: as the device must know what is left.
  const { isPresent: sessionPresent, expirySeconds } = connection.session;
  const askedExpiry = packet.properties?.sessionExpiryInterval ?? 0;
  const changesKeepAlive = packet.keepalive !== keepAliveSeconds;
  const imposed = Math.min(keepAliveSeconds, limits.maxKeepAliveSeconds);
  return {
    cmd: "connack",
    reasonCode: REASON.success,
    sessionPresent,
    properties: {
      receiveMaximum: limits.inboundInflight,
      maximumPacketSize: LIMITS.mqttPacketBytes,
      topicAliasMaximum: TOPIC_ALIAS_MAXIMUM,
      sharedSubscriptionAvailable: false,
      // MQTT 5.0 §3.2.2.3.2: what the device asked for is not what it gets.
      ...(askedExpiry === expirySeconds ? {} : { sessionExpiryInterval: expirySeconds }),
      // MQTT 5.0 §3.2.2.3.9: what it is let in for.
      ...(connection.peer.access === "renewal" ? RENEWAL_ONLY : {}),
      ...(packet.clientId === "" ? { assignedClientIdentifier: connection.id } : {}),
      ...(changesKeepAlive || imposed !== keepAliveSeconds ? { serverKeepAlive: imposed } : {}),
    },
  };
}

function asFault(connection: Connection, error: unknown): ConnectionFault {
  if (error instanceof ConnectionFault) return error;
  const { logger } = connection.context.deps;
  const address = connection.socket.remoteAddress;
  if (isAppError(error, "certificate-refused")) {
    logger.warn({ address, details: error.details }, `refused a certificate: ${error.message}`);
    return new ConnectionFault(REASON.notAuthorized, error.message);
  }
  if (!isAppError(error, "unavailable")) {
    logger.error({ address, err: error }, "a device could not be authenticated");
  }
  return new ConnectionFault(REASON.serverUnavailable, "the platform cannot answer at the moment");
}

/** MQTT 5.0 §3.1.4: a CONNACK with the reason, then the end of the connection. */
function refuse(connection: Connection, packet: IConnectPacket, fault: ConnectionFault): void {
  const reasonCode: ReasonCode = fault.reason;
  if (packet.protocolVersion === 5) {
    const wants = packet.properties?.requestProblemInformation !== false;
    const properties = wants ? { reasonString: fault.message.slice(0, 256) } : {};
    const largest = packet.properties?.maximumPacketSize || undefined;
    connection.send({ cmd: "connack", reasonCode, sessionPresent: false, properties }, 5, largest);
  } else {
    const returnCode = returnCodeOf(reasonCode);
    connection.send({ cmd: "connack", returnCode, sessionPresent: false }, 4);
  }
  connection.end(fault.message, "refused");
}
