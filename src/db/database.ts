import { Kysely, type RawBuilder, sql, type Transaction } from "kysely";
import pg from "pg";
import { type Confinement, confinementIn } from "../kernel/confinement.ts";
import { AppError, messageOf } from "../kernel/index.ts";
import { type ConnectionShares, createConnectionShares } from "./connection-shares.ts";
import { ScopedDialect } from "./dialect.ts";
import type { Schema } from "./schema.ts";

/** A transaction in which row-level security shows one tenant's rows (or the platform's own). */
export type Tx = Transaction<Schema>;

// Counts and sizes stay far below 2^53; anything above is a programmer's error.
pg.types.setTypeParser(pg.types.builtins.INT8, (text) => {
  const value = Number(text);
  if (!Number.isSafeInteger(value)) throw new RangeError(`bigint ${text} is not a safe integer`);
  return value;
});

export interface DatabaseOptions {
  /** URL of a login that is, or may become, `vautn_app`. */
  url: string;
  /** Whether to become `vautn_app` on each connection (a login that owns the tables). */
  becomeAppRole?: boolean;
  maxConnections?: number;
  /** How long a transaction waits for a connection, and a statement or a pause within one may last. */
  patience?: Patience;
  onError?: (error: Error) => void;
}

export interface Patience {
  connectionMs: number;
  statementMs: number;
}

const PATIENCE: Patience = { connectionMs: 10_000, statementMs: 60_000 };

/**
 * The one way to the control plane's tables. Every query runs in a transaction that names its
 * tenant; without one, row-level security shows nothing.
 */
export class Database {
  readonly #kysely: Kysely<Schema>;
  readonly #shares: ConnectionShares;

  constructor(options: DatabaseOptions) {
    const { maxConnections = 10, patience = PATIENCE } = options;
    this.#shares = createConnectionShares(maxConnections, patience.connectionMs);
    const pool = new pg.Pool({
      connectionString: options.url,
      max: maxConnections,
      connectionTimeoutMillis: patience.connectionMs,
      idleTimeoutMillis: 30_000,
      statement_timeout: patience.statementMs,
      idle_in_transaction_session_timeout: patience.statementMs,
      ...(options.becomeAppRole ? { options: "-c role=vautn_app" } : {}),
    });
    // Without a listener a server that goes away would end the process.
    const onError = (error: Error) => options.onError?.(error);
    pool.on("error", onError);
    // The pool listens to those that rest; one that is lost within a transaction speaks for itself.
    pool.on("connect", (client) => client.on("error", onError));
    this.#kysely = new Kysely<Schema>({ dialect: new ScopedDialect(pool) });
  }

  /**
   * Runs `work` in a transaction that sees and writes this tenant's rows only. `lock` names what no
   * other transaction of the tenant holds meanwhile; it costs no round trip of its own. For somebody
   * who is confined to groups of devices it sees and writes what is theirs.
   */
  tenant<T>(
    tenantId: string,
    work: (tx: Tx) => Promise<T>,
    { lock }: { lock?: TenantLock } = {},
  ): Promise<T> {
    const confinement = confinementIn(tenantId);
    const scope = tenantScope(tenantId, lock);
    if (!confinement) return this.#shares.run(tenantId, () => this.#transaction(scope, work));
    const confined = [...scope, ...confinedScope(confinement)];
    return this.#shares.run(tenantId, () => this.#transaction(confined, work)).catch(refuseBeyond);
  }

  /** Runs `work` in a transaction over the platform's own tables: tenants, users, settings, root. */
  platform<T>(work: (tx: Tx) => Promise<T>): Promise<T> {
    return this.#transaction([sql.raw(`begin; ${PLATFORM_SCOPE}`)], work);
  }

  /** Tenants for which a `vautn.tenants_with_…` function finds something due. */
  async tenantsWith(
    what:
      | "due_presence"
      | "due_commands"
      | "open_deltas"
      | "due_rollouts"
      | "due_deliveries"
      | "due_metadata"
      | "old_incidents"
      | "presence_alerts"
      | "due_health"
      | "old_timeline"
      | "stale_history"
      | "running_campaigns"
      | "certificates"
      | "due_sessions"
      | "expired_uploads"
      | "unused_artifacts"
      | "due_applications"
      | "unsigned_audit"
      | "old_audit"
      | "undispatched_alerts"
      | "due_alert_groups"
      | "due_alert_rules"
      | "due_notifications"
      | "old_alerts"
      | "due_audit_streams",
    moment: Date,
  ): Promise<string[]> {
    const call =
      what === "open_deltas"
        ? sql<{ tenant: string }>`select vautn.tenants_with_open_deltas() as tenant`
        : sql<{
            tenant: string;
          }>`select ${sql.raw(`vautn.tenants_with_${what}`)}(${moment}) as tenant`;
    const { rows } = await call.execute(this.#kysely);
    return rows.map((row) => row.tenant);
  }

  /** Tenants of which a gateway says that it holds devices. */
  async tenantsOnGateway(gatewayId: string): Promise<string[]> {
    const { rows } = await sql<{
      tenant: string;
    }>`select vautn.tenants_on_gateway(${gatewayId}) as tenant`.execute(this.#kysely);
    return rows.map((row) => row.tenant);
  }

  /** Tenants of which a gateway holds, or held when it died, sessions. */
  async tenantsWithSessionsOf(gatewayId: string): Promise<string[]> {
    const { rows } = await sql<{
      tenant: string;
    }>`select vautn.tenants_with_sessions_of(${gatewayId}) as tenant`.execute(this.#kysely);
    return rows.map((row) => row.tenant);
  }

  /** Tenants of which a process holds, or held when it died, connections of applications. */
  async tenantsWithApplicationsOf(process: string): Promise<string[]> {
    const { rows } = await sql<{
      tenant: string;
    }>`select vautn.tenants_with_applications_of(${process}) as tenant`.execute(this.#kysely);
    return rows.map((row) => row.tenant);
  }

  /** Resolves when a connection can be had and answers. */
  async ping(): Promise<void> {
    await sql`select 1`.execute(this.#kysely);
  }

  async close(): Promise<void> {
    await this.#kysely.destroy();
  }

  async #transaction<T>(
    scope: readonly RawBuilder<unknown>[],
    work: (tx: Tx) => Promise<T>,
  ): Promise<T> {
    try {
      return await this.#kysely.transaction().execute(async (tx) => {
        for (const statement of scope) await statement.execute(tx);
        return work(tx);
      });
    } catch (error) {
      throw asUnavailable(error);
    }
  }
}

/**
 * Opens one tenant's rows to a transaction of the platform, for what has to be written in both or in
 * neither. Callers name the tenant that they have let somebody into, never one from a message.
 */
export async function alsoInTenant(tx: Tx, tenantId: string): Promise<void> {
  await sql`select set_config('vautn.tenant', ${tenantId}, true)`.execute(tx);
}

/** What transactions of a tenant may take turns at. */
export type TenantLock = "commands";

const PLATFORM_SCOPE = "select set_config('vautn.scope', 'platform', true)";
/** Ids that need no quoting; `_platform` is the platform's own chain. */
const PLAIN_TENANT = /^[a-z0-9_][a-z0-9-]{0,62}$/;

/** The statements that begin a tenant's transaction: one, but for a name that nobody can have. */
function tenantScope(tenantId: string, lock: TenantLock | undefined): RawBuilder<unknown>[] {
  if (!PLAIN_TENANT.test(tenantId)) {
    return [sql.raw("begin"), sql`select set_config('vautn.tenant', ${tenantId}, true)`];
  }
  const scope = `begin; select set_config('vautn.tenant', '${tenantId}', true)`;
  if (!lock) return [sql.raw(scope)];
  const key = `hashtextextended('${lock}:${tenantId}', 0)`;
  return [sql.raw(`${scope}; select pg_advisory_xact_lock(${key})`)];
}

/** The role that sees only what has been opened to it, and of that the devices named here. */
function confinedScope({ deviceIds, groups }: Confinement): RawBuilder<unknown>[] {
  const devices = sql`${[...deviceIds]}::text[]::text`;
  const names = sql`${[...groups]}::text[]::text`;
  return [
    sql`select set_config('vautn.confined_devices', ${devices}, true),
               set_config('vautn.confined_groups', ${names}, true)`,
    sql.raw("set local role vautn_confined"),
  ];
}

/** 42501 is `insufficient_privilege`: of a table as a whole, or of a row that policies keep out. */
function refuseBeyond(error: unknown): never {
  if ((error as { code?: string } | null)?.code !== "42501") throw error;
  const message = "this concerns more than the groups of devices that you are confined to";
  throw new AppError("forbidden", message, { confined: true }, { cause: error });
}

/** Connection faults become the refusal `unavailable`; everything else passes unchanged. */
function asUnavailable(error: unknown): unknown {
  const code = (error as { code?: string } | null)?.code ?? "";
  // Class 08 connection exceptions, 57P0x server shutting down, 53300 too many connections; 57014
  // is the end of the time that a statement has, 55P03 a lock that was not to be had.
  const gone =
    /^(08|57P0|53300|57014|55P03)/.test(code) || /^E(CONN|PIPE|TIMEDOUT|HOST)/.test(code);
  const message = messageOf(error);
  if (!gone && !/Connection terminated|timeout exceeded when trying to connect/.test(message)) {
    return error;
  }
  return new AppError("unavailable", "the database does not answer", {}, { cause: error });
}

/** Whether an error is PostgreSQL's `unique_violation`. */
export function isUniqueViolation(error: unknown): boolean {
  return (error as { code?: string } | null)?.code === "23505";
}

/** Whether an error is PostgreSQL's `foreign_key_violation`. */
export function isForeignKeyViolation(error: unknown): boolean {
  return (error as { code?: string } | null)?.code === "23503";
}
