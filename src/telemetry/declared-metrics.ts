import { Batcher, type Clock } from "../kernel/index.ts";
import { TtlCache } from "../kernel/ttl-cache.ts";
import type { DeclaredProduct } from "../protocol/index.ts";
import { Declaration } from "./declaration.ts";

export interface DeclaredMetricsDeps {
  clock: Clock;
  /** Every product of a tenant of which something is declared. */
  productsOf(tenantId: string): Promise<DeclaredProduct[]>;
  /** The product of each device that exists. */
  productByDevice(tenantId: string, deviceIds: readonly string[]): Promise<Map<string, string>>;
}

/** What is declared of a device's metrics; soon after a change at the latest. */
export interface DeclaredMetrics {
  /** At once where it is known. A failure to read it is that of the message. */
  of(
    tenantId: string,
    deviceId: string,
  ): Declaration | undefined | Promise<Declaration | undefined>;
}

/** How old it may be; a new column of wide rows is taken into use only later than that. */
export const DECLARED_TTL_MS = 60_000;
const MAX_TENANTS = 10_000;
const MAX_DEVICES = 300_000;
const LOOKUPS = { maxBatchSize: 500, maxDelayMs: 5, maxQueuedSize: 50_000 };

interface Wanted {
  tenantId: string;
  deviceId: string;
}

export function createDeclaredMetrics(deps: DeclaredMetricsDeps): DeclaredMetrics {
  const { clock } = deps;
  const tenants = new TtlCache<ReadonlyMap<string, Declaration>>({
    ...{ clock, ttlMs: DECLARED_TTL_MS, maxEntries: MAX_TENANTS },
  });
  const devices = new TtlCache<string>({
    ...{ clock, ttlMs: DECLARED_TTL_MS, maxEntries: MAX_DEVICES },
  });
  const keyOf = ({ tenantId, deviceId }: Wanted) => `${tenantId}/${deviceId}`;
  const lookups = new Batcher<Wanted>({
    ...LOOKUPS,
    async write(wanted) {
      for (const [tenantId, group] of Map.groupBy(wanted, (one) => one.tenantId)) {
        const ids = group.map(({ deviceId }) => deviceId);
        const products = await deps.productByDevice(tenantId, ids);
        for (const one of group) devices.set(keyOf(one), products.get(one.deviceId) ?? "");
      }
    },
  });

  async function look(wanted: Wanted): Promise<Declaration | undefined> {
    const declared = await tenants.load(wanted.tenantId, async () => {
      const products = await deps.productsOf(wanted.tenantId);
      return new Map(products.map((product) => [product.product, new Declaration(product)]));
    });
    if (declared.size === 0) return undefined;
    if (devices.get(keyOf(wanted)) === undefined) await lookups.add(wanted);
    return declared.get(devices.get(keyOf(wanted)) ?? "");
  }

  return {
    of(tenantId, deviceId) {
      const declared = tenants.get(tenantId);
      if (declared?.size === 0) return undefined;
      const wanted = { tenantId, deviceId };
      const product = declared && devices.get(keyOf(wanted));
      return product === undefined ? look(wanted) : declared?.get(product);
    },
  };
}
