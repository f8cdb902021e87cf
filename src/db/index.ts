export * from "./database.ts";
export { MIGRATIONS_DIRECTORY, migrate } from "./migrate.ts";
export * from "./postgres-server.ts";
export * from "./prepare.ts";
export type { Json, Schema } from "./schema.ts";
