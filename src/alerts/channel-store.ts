import type { Tx } from "../db/index.ts";
import type { ChannelKind, ChannelSettingsDocument } from "./channel-settings.ts";

export interface ChannelRow {
  id: string;
  name: string;
  kind: ChannelKind;
  settings: ChannelSettingsDocument;
  enabled: boolean;
  created_at: Date;
  created_by: string;
  updated_at: Date;
}

const COLUMNS = [
  "id",
  "name",
  "kind",
  "settings",
  "enabled",
  "created_at",
  "created_by",
  "updated_at",
] as const;

export async function listChannels(tx: Tx, tenantId: string): Promise<ChannelRow[]> {
  const rows = await tx
    .selectFrom("alert_channels")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .orderBy("name")
    .execute();
  return rows as ChannelRow[];
}

/** Locked until the transaction ends. */
export async function lockChannel(
  tx: Tx,
  tenantId: string,
  id: string,
): Promise<ChannelRow | undefined> {
  const row = await tx
    .selectFrom("alert_channels")
    .select(COLUMNS)
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .forUpdate()
    .executeTakeFirst();
  return row as ChannelRow | undefined;
}

export async function insertChannel(
  tx: Tx,
  tenantId: string,
  channel: ChannelRow & { secret_sealed: Buffer | null },
): Promise<void> {
  const settings = JSON.stringify(channel.settings);
  await tx
    .insertInto("alert_channels")
    .values({ ...channel, settings, tenant_id: tenantId })
    .execute();
}

/** Without `secret_sealed` the secret stays as it is. */
export async function updateChannel(
  tx: Tx,
  tenantId: string,
  id: string,
  change: Pick<ChannelRow, "name" | "settings" | "enabled" | "updated_at"> & {
    secret_sealed?: Buffer;
  },
): Promise<void> {
  await tx
    .updateTable("alert_channels")
    .set({ ...change, settings: JSON.stringify(change.settings) })
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .execute();
}

export async function deleteChannel(tx: Tx, tenantId: string, id: string): Promise<boolean> {
  const { numDeletedRows } = await tx
    .deleteFrom("alert_channels")
    .where("tenant_id", "=", tenantId)
    .where("id", "=", id)
    .executeTakeFirst();
  return numDeletedRows > 0n;
}
