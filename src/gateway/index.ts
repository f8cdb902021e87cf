export { type Applications, createApplications } from "./applications/applications.ts";
export type { GatewayDeps, GatewayOptions, GatewayPeer, StandingChange } from "./deps.ts";
export { type Gateway, startGateway } from "./gateway.ts";
export { DEFAULT_GATEWAY_LIMITS, type GatewayLimits, readGatewayLimits } from "./limits.ts";
