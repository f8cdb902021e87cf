import { type DatabaseConnection, PostgresDialect, PostgresDriver } from "kysely";
import type pg from "pg";

/**
 * `sql` texts that begin so are parsed and planned once a connection and kept under that name: for
 * statements that run many times a second.
 */
const PREPARED = /^\s*\/\* prepared: ([a-z-]{1,60}) \*\//;

/** What kysely needs of a connection of the pool. */
interface Client {
  processID?: number;
  query(text: string, values: readonly unknown[]): Promise<pg.QueryResult>;
  release(destroy?: boolean): void;
}

/** The pool as kysely sees it, with connections that keep what is marked as prepared. */
function preparing(pool: pg.Pool) {
  const known = new WeakMap<pg.PoolClient, Client>();
  return {
    options: pool.options,
    end: () => pool.end(),
    async connect(): Promise<Client> {
      const client = await pool.connect();
      let wrapped = known.get(client);
      if (!wrapped) {
        wrapped = wrap(client);
        known.set(client, wrapped);
      }
      return wrapped;
    },
  };
}

function wrap(client: pg.PoolClient): Client {
  const { processID } = client as { processID?: number };
  return {
    ...(processID === undefined ? {} : { processID }),
    query(text, values) {
      const name = PREPARED.exec(text)?.[1];
      return name === undefined
        ? client.query(text, [...values])
        : client.query({ name, text, values: [...values] });
    },
    // The pool gives each client a new `release` whenever it hands it out.
    release: (destroy) => client.release(destroy),
  };
}

/**
 * PostgreSQL with one round trip less for each transaction: it begins with the caller's first
 * statement (`begin; …`), because a scope has to be set in every one of ours.
 */
export class ScopedDialect extends PostgresDialect {
  readonly #pool: ReturnType<typeof preparing>;

  constructor(pool: pg.Pool) {
    const prepared = preparing(pool);
    super({ pool: prepared as never });
    this.#pool = prepared;
  }

  override createDriver(): PostgresDriver {
    return new ScopedDriver({ pool: this.#pool as never });
  }
}

class ScopedDriver extends PostgresDriver {
  override async beginTransaction(_connection: DatabaseConnection): Promise<void> {
    // The scope's own statement begins it.
  }
}
