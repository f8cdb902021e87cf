import { randomBytes } from "node:crypto";
import { type Database, isUniqueViolation, type Tx } from "../db/index.ts";
import { AppError, type Clock, isUuid, LIMITS, timeOrderedId } from "../kernel/index.ts";
import type { Sealer } from "../kernel/sealing.ts";
import type { Actor } from "../tenancy/index.ts";
import {
  type ChannelKind,
  type ChannelSettingsDocument,
  channelContext,
  checkChannel,
  needsSecret,
} from "./channel-settings.ts";
import * as store from "./channel-store.ts";
import { headline } from "./notification.ts";
import { listNotifications } from "./notification-store.ts";
import { type DeliveryDeps, sendTest } from "./notify.ts";
import { lockPolicy, readPolicyRow } from "./policy-store.ts";

const MAX_CHANNELS = 50;

export interface ChannelView {
  id: string;
  name: string;
  kind: ChannelKind;
  settings: ChannelSettingsDocument;
  enabled: boolean;
  createdAt: Date;
  createdBy: string;
  updatedAt: Date;
}

export interface NewChannel {
  name: string;
  kind: ChannelKind;
  settings: ChannelSettingsDocument;
  enabled?: boolean | undefined;
  /** The URL (slack), the integration key (pagerduty), the mail server's password (email). */
  secret?: string | undefined;
}

export interface NotificationView {
  id: string;
  /** What was said, in one line. */
  summary: string;
  status: "pending" | "delivered" | "failed";
  attempts: number;
  nextAttemptAt: Date | null;
  lastStatus: number | null;
  lastError: string | null;
  createdAt: Date;
  deliveredAt: Date | null;
}

/** Where people are told of alerts. Secrets go in and never come out. */
export interface Channels {
  /** A webhook's signing secret is made here where none is given, and told this once. */
  create(
    tenantId: string,
    channel: NewChannel,
    actor: Actor,
  ): Promise<ChannelView & { secret: string | null }>;
  list(tenantId: string): Promise<ChannelView[]>;
  get(tenantId: string, id: string): Promise<ChannelView>;
  /** Without a secret the one that there is stays. */
  update(
    tenantId: string,
    id: string,
    channel: Omit<NewChannel, "kind">,
    precondition?: (channel: ChannelView) => void,
  ): Promise<ChannelView>;
  delete(tenantId: string, id: string): Promise<void>;
  /** Sends a test at once and says what came of it. */
  test(tenantId: string, id: string, actor: Actor): Promise<NotificationView>;
  /** What was sent or is to be sent, newest first. */
  deliveries(tenantId: string, id: string, limit?: number): Promise<NotificationView[]>;
}

export interface ChannelsDeps extends DeliveryDeps {
  db: Database;
  clock: Clock;
  sealer: Sealer;
}

export function createChannels(deps: ChannelsDeps): Channels {
  const { db, clock, sealer } = deps;
  const rules = {
    allowPrivateAddresses: deps.allowPrivateAddresses,
    hasMailServer: deps.mailServer !== undefined,
  };
  const find = async (tx: Tx, tenantId: string, id: string) => {
    const row = isUuid(id) ? await store.lockChannel(tx, tenantId, id) : undefined;
    if (!row) throw new AppError("not-found", "there is no such channel");
    return row;
  };
  const sealed = (tenantId: string, id: string, secret: string) =>
    sealer.seal(secret, channelContext(tenantId, id));

  return {
    async create(tenantId, channel, actor) {
      const { name, kind, settings, enabled = true } = channel;
      checkChannel(kind, settings, channel.secret, rules);
      assertSecret(kind, settings, channel.secret);
      const made = kind === "webhook" && !channel.secret ? madeSecret() : null;
      const secret = channel.secret ?? made;
      const now = new Date(clock.now());
      const id = timeOrderedId(now.getTime());
      const row: store.ChannelRow = {
        ...{ id, name, kind, settings, enabled },
        created_at: now,
        created_by: actor.name,
        updated_at: now,
      };
      await db.tenant(tenantId, async (tx) => {
        await lockPolicy(tx, tenantId);
        if ((await store.listChannels(tx, tenantId)).length >= MAX_CHANNELS) {
          throw new AppError("quota-exceeded", `a tenant has at most ${MAX_CHANNELS} channels`);
        }
        const secret_sealed = secret === null ? null : sealed(tenantId, id, secret);
        await named(name, () => store.insertChannel(tx, tenantId, { ...row, secret_sealed }));
      });
      return { ...viewOf(row), secret: made };
    },

    async list(tenantId) {
      const rows = await db.tenant(tenantId, (tx) => store.listChannels(tx, tenantId));
      return rows.map(viewOf);
    },

    get: (tenantId, id) => db.tenant(tenantId, async (tx) => viewOf(await find(tx, tenantId, id))),

    update: (tenantId, id, { name, settings, enabled = true, secret }, precondition) =>
      db.tenant(tenantId, async (tx) => {
        await lockPolicy(tx, tenantId);
        const row = await find(tx, tenantId, id);
        precondition?.(viewOf(row));
        checkChannel(row.kind, settings, secret, rules);
        if (needsSecret(row.kind, settings) && !needsSecret(row.kind, row.settings)) {
          assertSecret(row.kind, settings, secret);
        }
        assertSameReceiver(row, settings, secret);
        if (name !== row.name) await assertUnnamed(tx, tenantId, row.name);
        const change = { name, settings, enabled, updated_at: new Date(clock.now()) };
        const secret_sealed =
          secret === undefined ? {} : { secret_sealed: sealed(tenantId, id, secret) };
        await named(name, () =>
          store.updateChannel(tx, tenantId, id, { ...change, ...secret_sealed }),
        );
        return viewOf({ ...row, ...change });
      }),

    delete: (tenantId, id) =>
      db.tenant(tenantId, async (tx) => {
        await lockPolicy(tx, tenantId);
        const row = await find(tx, tenantId, id);
        await assertUnnamed(tx, tenantId, row.name);
        await store.deleteChannel(tx, tenantId, id);
      }),

    async test(tenantId, id, actor) {
      const channel = await db.tenant(tenantId, (tx) => find(tx, tenantId, id));
      const sent = await sendTest(deps, tenantId, channel, actor.name);
      const last = (await this.deliveries(tenantId, id)).find((one) => one.id === sent);
      if (!last) throw new AppError("not-found", "the channel was deleted meanwhile");
      return last;
    },

    async deliveries(tenantId, id, limit = 50) {
      const size = Math.min(Math.max(1, limit), LIMITS.pageSize);
      const rows = await db.tenant(tenantId, async (tx) => {
        await find(tx, tenantId, id);
        return listNotifications(tx, tenantId, id, size);
      });
      return rows.map((row) => ({
        id: row.id,
        summary: headline(row.notification),
        status: row.status,
        attempts: row.attempts,
        nextAttemptAt: row.next_attempt_at,
        lastStatus: row.last_status,
        lastError: row.last_error,
        createdAt: row.created_at,
        deliveredAt: row.delivered_at,
      }));
    },
  };
}

function madeSecret(): string {
  return `whsec_${randomBytes(32).toString("base64")}`;
}

function assertSecret(
  kind: ChannelKind,
  settings: ChannelSettingsDocument,
  secret: string | undefined,
): void {
  if (secret || !needsSecret(kind, settings)) return;
  const message = "is missing: the URL (slack), integration key (pagerduty) or password (email)";
  throw new AppError("invalid-request", `/secret: ${message}`, {
    errors: [{ path: "/secret", message }],
  });
}

/** A secret that nobody may read must not be sent where somebody chooses. */
function assertSameReceiver(
  row: store.ChannelRow,
  settings: ChannelSettingsDocument,
  secret: string | undefined,
): void {
  const receiver = ({ url, smtp }: ChannelSettingsDocument) =>
    JSON.stringify([url, smtp?.host, smtp?.port, smtp?.security]);
  const keeps = secret === undefined && row.kind !== "webhook" && needsSecret(row.kind, settings);
  if (!keeps || receiver(settings) === receiver(row.settings)) return;
  const message = "is needed again: it would go to another receiver than before";
  throw new AppError("invalid-request", `/secret: ${message}`, {
    errors: [{ path: "/secret", message }],
  });
}

async function named(name: string, write: () => Promise<void>): Promise<void> {
  try {
    await write();
  } catch (error) {
    if (!isUniqueViolation(error)) throw error;
    throw new AppError("already-exists", `there is a channel "${name}" already`);
  }
}

/** A channel that the policy names cannot go: somebody believes that it tells them. */
async function assertUnnamed(tx: Tx, tenantId: string, name: string): Promise<void> {
  const { default: fallback, routes = [] } = (await readPolicyRow(tx, tenantId))?.document ?? {};
  for (const route of [{ name: "default", ...fallback }, ...routes]) {
    const steps = route.escalation ?? [];
    const channels = [...(route.channels ?? []), ...steps.flatMap((step) => step.channels)];
    if (!channels.includes(name)) continue;
    throw new AppError(
      "conflict",
      `the route "${route.name}" of the policy names it: change the policy first`,
      {
        route: route.name,
      },
    );
  }
}

function viewOf(row: store.ChannelRow): ChannelView {
  return {
    ...{ id: row.id, name: row.name, kind: row.kind, settings: row.settings, enabled: row.enabled },
    createdAt: row.created_at,
    createdBy: row.created_by,
    updatedAt: row.updated_at,
  };
}
