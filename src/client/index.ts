export {
  ApiClient,
  type CallInput,
  type OperationName,
} from "./api-client.ts";
export { ApiRefusal, PlatformUnreachable } from "./errors.ts";
export * from "./generated-api.ts";
export { ROLLOUT_FILE_SCHEMA } from "./generated-rollout-schema.ts";
