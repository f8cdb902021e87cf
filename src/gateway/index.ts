export { type Applications, createApplications } from "./applications/applications.ts";
export {
  DEFAULT_GATEWAY_LIMITS,
  type GatewayDeps,
  type GatewayLimits,
  type GatewayOptions,
  type GatewayPeer,
  type StandingChange,
} from "./deps.ts";
export { type Gateway, startGateway } from "./gateway.ts";
