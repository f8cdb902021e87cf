import pg from "pg";

/** Rows as a superuser sees them, whom no policy binds. */
export async function ownerRows<Row extends pg.QueryResultRow>(
  superuserUrl: string,
  query: string,
): Promise<Row[]> {
  const client = new pg.Client({ connectionString: superuserUrl });
  await client.connect();
  try {
    return (await client.query<Row>(query)).rows;
  } finally {
    await client.end();
  }
}
