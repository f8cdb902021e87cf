export * from "./canonical-json.ts";
export * from "./csr.ts";
export * from "./identity.ts";
export * from "./messages.ts";
export * from "./signing.ts";
export * from "./topics.ts";
export * from "./update.ts";
export * from "./verification.ts";
