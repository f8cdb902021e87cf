import { AppError, LIMITS } from "../kernel/index.ts";
import type { DeclaredProduct, MetricDeclaration, MetricSlot } from "../protocol/index.ts";
import type { Actor } from "../tenancy/index.ts";
import type { DevicesDeps } from "./deps.ts";
import {
  findClockOffset,
  insertSlots,
  listMetrics,
  listSlots,
  lockProductMetrics,
  productsOf,
  replaceMetrics,
} from "./metric-store.ts";

/** What a tenant declares that the devices of its products measure. */
export interface ProductMetrics {
  /** By product and name. */
  list(tenantId: string, product?: string): Promise<({ product: string } & MetricDeclaration)[]>;
  /**
   * Replaces all that is declared of a product by what `change` makes of it, with what was declared
   * locked until that is done; it may throw.
   */
  declare(
    tenantId: string,
    product: string,
    change: (before: MetricDeclaration[]) => readonly MetricDeclaration[],
    actor: Actor,
  ): Promise<MetricDeclaration[]>;
  /** For the ingest: everything that is declared, with the columns of wide rows. */
  declared(tenantId: string): Promise<DeclaredProduct[]>;
  /** How far its clock is behind ours, milliseconds; null before its first heartbeat. */
  clockOffset(tenantId: string, deviceId: string): Promise<number | null>;
  productByDevice(tenantId: string, deviceIds: readonly string[]): Promise<Map<string, string>>;
}

const MAX_SLOTS = 32;
/** Every gateway knows of a new column by then: see `DECLARED_TTL_MS` of the telemetry. */
const SLOT_DELAY_MS = 5 * 60_000;
/** No metric of a device has such a name: what the platform measures of it has. */
const RESERVED_PREFIX = "_platform.";

export function createProductMetrics({ db, clock, tenancy }: DevicesDeps): ProductMetrics {
  return {
    list: (tenantId, product) => db.tenant(tenantId, (tx) => listMetrics(tx, product)),

    declare: (tenantId, product, change, actor) =>
      db.tenant(tenantId, async (tx) => {
        await lockProductMetrics(tx, tenantId, product);
        const metrics = change(withoutProduct(await listMetrics(tx, product)));
        checkDeclarations(metrics);
        const now = clock.now();
        const slots = await listSlots(tx, product);
        await replaceMetrics(tx, tenantId, product, metrics, new Date(now));
        const added = slotsFor(metrics, slots, now + SLOT_DELAY_MS);
        await insertSlots(tx, tenantId, product, added);
        await tenancy.audit.record(tx, tenantId, {
          ...{ actor, action: "metrics.declare", targetKind: "product", targetId: product },
          ...{ outcome: "done" as const, details: { metrics: metrics.length } },
        });
        return withoutProduct(await listMetrics(tx, product));
      }),

    declared: (tenantId) =>
      db.tenant(tenantId, async (tx) => {
        const slots = Map.groupBy(await listSlots(tx), ({ product }) => product);
        const metrics = Map.groupBy(await listMetrics(tx), ({ product }) => product);
        return [...metrics].map(([product, list]) => ({
          product,
          metrics: list,
          slots: slots.get(product) ?? [],
        }));
      }),

    clockOffset: (tenantId, deviceId) => db.tenant(tenantId, (tx) => findClockOffset(tx, deviceId)),

    productByDevice: (tenantId, deviceIds) =>
      db.tenant(tenantId, (tx) => productsOf(tx, deviceIds)),
  };
}

/**
 * New columns for numbers whose decimals are known and that have none yet; one whose decimals have
 * changed gets another. When all are given away, the rest of the metrics go without.
 */
export function slotsFor(
  metrics: readonly MetricDeclaration[],
  given: readonly MetricSlot[],
  from: number,
): MetricSlot[] {
  const added: MetricSlot[] = [];
  for (const { name, ...metric } of metrics) {
    const decimals = decimalsOf(metric);
    const last = given.findLast((slot) => slot.name === name);
    if (decimals === undefined || last?.decimals === decimals) continue;
    const slot = given.length + added.length + 1;
    if (slot > MAX_SLOTS) break;
    added.push({ slot, name, decimals, from });
  }
  return added;
}

function decimalsOf({ type, decimals }: Omit<MetricDeclaration, "name">): number | undefined {
  if (type === "integer" || type === "boolean") return 0;
  return type === "number" ? decimals : undefined;
}

function checkDeclarations(metrics: readonly MetricDeclaration[]): void {
  const refuse = (message: string): never => {
    throw new AppError("invalid-request", message);
  };
  if (metrics.length > LIMITS.metricsPerProduct) {
    refuse(`a product declares at most ${LIMITS.metricsPerProduct} metrics`);
  }
  const names = new Set<string>();
  for (const { name, type, minimum, maximum, decimals } of metrics) {
    if (names.has(name)) refuse(`${name} is declared twice`);
    names.add(name);
    if (name.startsWith(RESERVED_PREFIX)) refuse(`names may not begin with ${RESERVED_PREFIX}`);
    const isNumeric = type === "number" || type === "integer";
    if (!isNumeric && (minimum !== undefined || maximum !== undefined)) {
      refuse(`${name}: only numbers have a minimum and a maximum`);
    }
    if (decimals !== undefined && type !== "number") refuse(`${name}: only a number has decimals`);
    if (minimum !== undefined && maximum !== undefined && minimum > maximum) {
      refuse(`${name}: its minimum is above its maximum`);
    }
  }
}

function withoutProduct(metrics: ({ product: string } & MetricDeclaration)[]): MetricDeclaration[] {
  return metrics.map(({ product: _product, ...metric }) => metric);
}
