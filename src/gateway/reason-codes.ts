/** MQTT 5.0 §2.4: the reason codes that this server uses. */
export const REASON = {
  success: 0x00,
  noSubscriptionExisted: 0x11,
  malformedPacket: 0x81,
  protocolError: 0x82,
  unsupportedProtocolVersion: 0x84,
  clientIdentifierNotValid: 0x85,
  badUserNameOrPassword: 0x86,
  notAuthorized: 0x87,
  serverUnavailable: 0x88,
  serverBusy: 0x89,
  serverShuttingDown: 0x8b,
  badAuthenticationMethod: 0x8c,
  keepAliveTimeout: 0x8d,
  sessionTakenOver: 0x8e,
  topicFilterInvalid: 0x8f,
  topicNameInvalid: 0x90,
  packetIdentifierNotFound: 0x92,
  receiveMaximumExceeded: 0x93,
  topicAliasInvalid: 0x94,
  packetTooLarge: 0x95,
  quotaExceeded: 0x97,
  administrativeAction: 0x98,
  payloadFormatInvalid: 0x99,
  retainNotSupported: 0x9a,
  sharedSubscriptionsNotSupported: 0x9e,
  connectionRateExceeded: 0x9f,
} as const;
export type ReasonCode = (typeof REASON)[keyof typeof REASON];

/** The name of a code in REASON, for metrics. */
export function reasonName(reason: ReasonCode): string {
  return Object.entries(REASON).find(([, code]) => code === reason)?.[0] ?? "other";
}

/** CONNACK return codes of MQTT 3.1.1 §3.2.2.3 for the reasons of MQTT 5. */
export function returnCodeOf(reason: ReasonCode): number {
  switch (reason) {
    case REASON.success:
      return 0;
    case REASON.unsupportedProtocolVersion:
      return 1;
    case REASON.clientIdentifierNotValid:
      return 2;
    case REASON.badUserNameOrPassword:
      return 4;
    case REASON.serverUnavailable:
    case REASON.serverBusy:
    case REASON.quotaExceeded:
    case REASON.connectionRateExceeded:
      return 3;
    default:
      return 5;
  }
}

/** Ends the connection that caused it, with a reason that the device is told (MQTT 5). */
export class ConnectionFault extends Error {
  readonly reason: ReasonCode;

  constructor(reason: ReasonCode, message: string) {
    super(message);
    this.name = "ConnectionFault";
    this.reason = reason;
  }
}
