export {
  DEFAULT_GATEWAY_LIMITS,
  type GatewayDeps,
  type GatewayLimits,
  type GatewayOptions,
  type GatewayPeer,
} from "./deps.ts";
export { type Gateway, startGateway } from "./gateway.ts";
