import { type RawBuilder, sql } from "kysely";
import type { Tx } from "../db/index.ts";
import type { Channel } from "./channels.ts";
import type { ComponentQuery } from "./component-query.ts";
import { purlName } from "./component-query.ts";
import { componentVersionKey } from "./component-version.ts";
import type { SbomComponent } from "./sbom.ts";

/** A component with the release that contains it. */
export interface FoundComponent extends SbomComponent {
  position: number;
  releaseId: string;
  product: string;
  releaseVersion: string;
  channel: Channel;
  status: "published" | "yanked";
}

export interface ComponentFilter {
  releaseId?: string | undefined;
  product?: string | undefined;
  channel?: Channel | undefined;
  status?: "published" | "yanked" | undefined;
}

/** Writes down what a bill of materials lists; a second time changes nothing. */
export async function insertComponents(
  tx: Tx,
  tenantId: string,
  releaseId: string,
  components: readonly SbomComponent[],
): Promise<void> {
  const column = (read: (component: SbomComponent) => string | null) => components.map(read);
  await sql`
    insert into release_components
      (tenant_id, release_id, position, name, version, version_key, license, purl, purl_name)
    select ${tenantId}, ${releaseId}, given.ordinality - 1, given.name, given.version,
      given.version_key, given.license, given.purl, given.purl_name
    from unnest(
      ${column(({ name }) => name)}::text[],
      ${column(({ version }) => version)}::text[],
      ${column(({ version }) => (version === null ? null : componentVersionKey(version)))}::text[],
      ${column(({ license }) => license)}::text[],
      ${column(({ purl }) => purl)}::text[],
      ${column(({ purl }) => (purl === null ? null : purlName(purl)))}::text[]
    ) with ordinality as given (name, version, version_key, license, purl, purl_name, ordinality)
    on conflict do nothing`.execute(tx);
}

/** Bills of materials whose components were not written down yet. */
export async function unlistedDocuments(
  tx: Tx,
  tenantId: string,
  limit: number,
): Promise<{ release_id: string; sha256: string }[]> {
  return tx
    .selectFrom("release_files")
    .select(["release_id", "sha256"])
    .where("tenant_id", "=", tenantId)
    .where("role", "=", "sbom")
    .where("components_listed", "=", false)
    .limit(limit)
    .execute();
}

export async function markListed(tx: Tx, tenantId: string, releaseId: string): Promise<void> {
  await tx
    .updateTable("release_files")
    .set({ components_listed: true })
    .where("tenant_id", "=", tenantId)
    .where("release_id", "=", releaseId)
    .where("role", "=", "sbom")
    .execute();
}

/** Of the newest release first, in the documents' order. */
export async function findComponents(
  tx: Tx,
  tenantId: string,
  query: ComponentQuery,
  filter: ComponentFilter,
  page: { after: { releaseId: string; position: number } | undefined; limit: number },
): Promise<FoundComponent[]> {
  const { after } = page;
  const { rows } = await sql<FoundComponent>`
    select c.position, c.name, c.version, c.license, c.purl, r.id as "releaseId", r.product,
      r.version as "releaseVersion", r.channel, r.status
    from release_components c
    join releases r on r.tenant_id = c.tenant_id and r.id = c.release_id
    where c.tenant_id = ${tenantId}
      ${nameCondition(query)} ${sql.join(query.bounds.map(boundCondition), sql` `)}
      ${filter.releaseId === undefined ? sql`` : sql`and c.release_id = ${filter.releaseId}`}
      ${filter.product === undefined ? sql`` : sql`and r.product = ${filter.product}`}
      ${filter.channel === undefined ? sql`` : sql`and r.channel = ${filter.channel}`}
      ${filter.status === undefined ? sql`` : sql`and r.status = ${filter.status}`}
      ${after === undefined ? sql`` : sql`and (c.release_id < ${after.releaseId} or (c.release_id = ${after.releaseId} and c.position > ${after.position}))`}
    order by c.release_id desc, c.position
    limit ${page.limit}`.execute(tx);
  return rows;
}

function nameCondition({ namePattern, byPurl }: ComponentQuery): RawBuilder<unknown> {
  if (namePattern === null) return sql``;
  return byPurl
    ? sql`and lower(c.purl_name) like ${namePattern}`
    : sql`and lower(c.name) like ${namePattern}`;
}

/** What says no version cannot be ruled out, and is found too; it only is not equal to one. */
function boundCondition({ comparison, versionKey }: ComponentQuery["bounds"][number]) {
  if (comparison === "=") return sql`and c.version_key = ${versionKey}`;
  const operator = sql.raw(comparison === "!=" ? "<>" : comparison);
  return sql`and (c.version_key is null or c.version_key ${operator} ${versionKey})`;
}
