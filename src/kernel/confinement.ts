import { AsyncLocalStorage } from "node:async_hooks";

/** Somebody who may see and act on some of a tenant's devices only, for as long as a call lasts. */
export interface Confinement {
  readonly tenantId: string;
  /** Names of the groups, in order. */
  readonly groups: readonly string[];
  /** The groups' devices as one fleet query. */
  readonly query: string;
  /** Those that the groups held when the call began. */
  readonly deviceIds: readonly string[];
}

const current = new AsyncLocalStorage<Confinement | undefined>();

/**
 * The confinement of the call that is under way in this tenant. The stores ask for it where they
 * name their tenant, so that nothing which is written above them can forget it.
 */
export function confinementIn(tenantId: string): Confinement | undefined {
  const confinement = current.getStore();
  if (confinement === undefined || confinement.tenantId === tenantId) return confinement;
  // The platform's own records name no device of anybody's; another tenant was never let in.
  if (tenantId.startsWith("_")) return undefined;
  throw new Error("a call that is confined to groups of one tenant reached for another");
}

/** Runs `work`, and whatever it sets going, within the confinement. */
export function confined<T>(confinement: Confinement | undefined, work: () => T): T {
  return current.run(confinement, work);
}

/**
 * Runs `work` as the platform itself: for what belongs to nobody's call, such as messages on the
 * bus, and where a module has narrowed by itself what the call may reach.
 */
export function unconfined<T>(work: () => T): T {
  return current.run(undefined, work);
}
