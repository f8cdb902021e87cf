import { subjects } from "../bus/index.ts";
import type { Tx } from "../db/index.ts";
import type { Confinement } from "../kernel/confinement.ts";
import { AppError } from "../kernel/index.ts";
import { type Actor, auditChange } from "../tenancy/index.ts";
import { checkGroupName, checkNewDevice, checkPatch } from "./checks.ts";
import { confinementTo } from "./confinement.ts";
import type { DevicesDeps } from "./deps.ts";
import { dimensionOf } from "./fleet-dimensions.ts";
import { createFleetHealth, type FleetHealth } from "./fleet-health.ts";
import { compileFleetQuery, type FleetQuery } from "./fleet-query.ts";
import { deleteGroup, insertGroup, isConfining, listGroups } from "./groups-store.ts";
import { countHealth, readCohorts } from "./health-store.ts";
import { createProductMetrics, type ProductMetrics } from "./metrics.ts";
import { createPresencePolicies, type PresencePolicies } from "./presence-rules.ts";
import {
  countDevices,
  type DevicePage,
  deleteDevice,
  findDevice,
  findMembers,
  insertDevice,
  listDevices,
  lockDevice,
  type MemberBounds,
  updateDevice,
} from "./registry-store.ts";
import { createReports, type DeviceReports } from "./reports.ts";
import { createTwins, type Twins } from "./twins.ts";
import type {
  DeviceGroup,
  DevicePatch,
  DeviceView,
  FleetMember,
  HealthDimension,
  HealthRow,
  NewDevice,
} from "./types.ts";

const DEFAULT_PAGE = 100;

/** The registry of a tenant's devices, and what is known of their state. */
export interface Devices extends DeviceReports {
  /** Adds a device; `already-exists` and `quota-exceeded` are its refusals. Null: its own tx. */
  register(tx: Tx | null, tenantId: string, device: NewDevice, actor?: Actor): Promise<void>;
  /** Throws `not-found`. */
  get(tenantId: string, deviceId: string): Promise<DeviceView>;
  /** A page; `sort` is id, lastSeen, firmware.version, presence, product or region, `-` reverses. */
  list(
    tenantId: string,
    options?: { query?: string; cursor?: string; limit?: number; sort?: string },
  ): Promise<DevicePage>;
  /** `precondition` throws when the device, locked until the update is done, is not as it should be. */
  update(
    tenantId: string,
    deviceId: string,
    patch: DevicePatch,
    actor: Actor,
    precondition?: (device: DeviceView) => void,
  ): Promise<DeviceView>;
  remove(tenantId: string, deviceId: string, actor: Actor): Promise<void>;
  /** Every device that matches, in the order of ids, read within the caller's transaction. */
  matching(
    tx: Tx,
    tenantId: string,
    query: FleetQuery,
    bounds?: MemberBounds,
  ): Promise<FleetMember[]>;
  /** Devices by presence and crashes of the last 24 hours, for each value of `by`. */
  fleetHealth(tenantId: string, by: HealthDimension, query?: string): Promise<HealthRow[]>;
  /** With whom each device is compared: those of its kind, above all those that run the same. */
  cohorts(tenantId: string): Promise<Map<string, { kind: string; firmware: string }>>;
  /** What a call may reach of somebody who is confined to groups. */
  confinementTo(tenantId: string, groups: readonly string[]): Promise<Confinement>;
  twins: Twins;
  metrics: ProductMetrics;
  fleet: FleetHealth;
  presence: PresencePolicies;
  groups: {
    create(tenantId: string, group: { name: string; query: string }, actor: Actor): Promise<void>;
    list(tenantId: string): Promise<DeviceGroup[]>;
    delete(tenantId: string, name: string, actor: Actor): Promise<void>;
  };
}

export function createDevices(deps: DevicesDeps): Devices {
  const { db, clock, bus, tenancy } = deps;
  const policies = createPresencePolicies(deps);
  const announce = (tenantId: string, deviceId: string) =>
    bus.publish(subjects.fleet(tenantId), { deviceId });
  const audit = (
    tx: Tx,
    tenantId: string,
    actor: Actor,
    action: string,
    [targetKind, targetId]: [string, string],
    details: Record<string, unknown> = {},
  ) =>
    tenancy.audit.record(tx, tenantId, {
      actor,
      action,
      targetKind,
      targetId,
      outcome: "done",
      details,
    });

  return {
    ...createReports(deps, policies),
    presence: policies,
    fleet: createFleetHealth(deps),

    async register(given, tenantId, device, actor) {
      checkNewDevice(device);
      const { maxDevices } = await tenancy.settings(tenantId);
      const write = async (tx: Tx) => {
        if ((await countDevices(tx)) >= maxDevices) {
          throw new AppError("quota-exceeded", `the tenant may have ${maxDevices} devices`);
        }
        await insertDevice(tx, tenantId, device, new Date(clock.now()));
        if (actor) await audit(tx, tenantId, actor, "device.register", ["device", device.id]);
      };
      await (given ? write(given) : db.tenant(tenantId, write));
      announce(tenantId, device.id);
    },

    async get(tenantId, deviceId) {
      const device = await db.tenant(tenantId, (tx) => findDevice(tx, deviceId));
      return device ?? notFound(deviceId);
    },

    list(tenantId, { query = "", cursor, limit = DEFAULT_PAGE, sort = "id" } = {}) {
      const compiled = compileFleetQuery(query);
      return db.tenant(tenantId, (tx) =>
        listDevices(tx, { query: compiled, cursor, limit, sort, nowMs: clock.now() }),
      );
    },

    async update(tenantId, deviceId, patch, actor, precondition) {
      checkPatch(patch);
      const device = await db.tenant(tenantId, async (tx) => {
        const before = (await lockDevice(tx, deviceId)) ?? notFound(deviceId);
        precondition?.(before);
        if (Object.keys(patch).length > 0 && !(await updateDevice(tx, deviceId, patch))) {
          notFound(deviceId);
        }
        const change = auditChange({ ...before }, { ...patch });
        await audit(tx, tenantId, actor, "device.update", ["device", deviceId], change);
        return findDevice(tx, deviceId);
      });
      announce(tenantId, deviceId);
      return device ?? notFound(deviceId);
    },

    async remove(tenantId, deviceId, actor) {
      await db.tenant(tenantId, async (tx) => {
        if (!(await deleteDevice(tx, deviceId))) notFound(deviceId);
        await audit(tx, tenantId, actor, "device.remove", ["device", deviceId]);
      });
      // Its certificates went with it: whoever holds a connection of it must end that.
      bus.publish(subjects.revocation(tenantId), { tenantId, deviceId });
      announce(tenantId, deviceId);
    },

    matching: (tx, _tenantId, query, bounds) => findMembers(tx, query, clock.now(), bounds),

    fleetHealth(tenantId, by, query = "") {
      const compiled = compileFleetQuery(query);
      const nowMs = clock.now();
      return db.tenant(tenantId, async (tx) => {
        const groups = by === "group" ? await listGroups(tx) : [];
        return countHealth(tx, dimensionOf(by, "a", { groups, nowMs }), compiled, nowMs);
      });
    },

    confinementTo: (tenantId, groups) => confinementTo(deps, tenantId, groups),

    cohorts: (tenantId) => db.tenant(tenantId, readCohorts),

    twins: createTwins(deps),

    metrics: createProductMetrics(deps),

    groups: {
      async create(tenantId, { name, query }, actor) {
        checkGroupName(name);
        compileFleetQuery(query);
        await db.tenant(tenantId, async (tx) => {
          await insertGroup(tx, tenantId, { name, query, createdAt: new Date(clock.now()) });
          await audit(tx, tenantId, actor, "group.create", ["group", name], { query });
        });
      },
      list: (tenantId) => db.tenant(tenantId, listGroups),
      async delete(tenantId, name, actor) {
        await db.tenant(tenantId, async (tx) => {
          if (await isConfining(tx, name)) {
            throw new AppError("conflict", `members or keys are confined to group ${name}`, {
              group: name,
            });
          }
          if (!(await deleteGroup(tx, name))) {
            throw new AppError("not-found", `there is no group ${name}`);
          }
          await audit(tx, tenantId, actor, "group.delete", ["group", name]);
        });
      },
    },
  };
}

function notFound(deviceId: string): never {
  throw new AppError("not-found", `there is no device ${deviceId}`);
}
