export * from "./gate/index.ts";
export * from "./policy.ts";
