import { takesPatches } from "../firmware/index.ts";
import type { Assignment, Envelope, PhaseDeadlines } from "../protocol/index.ts";
import type { AddressedDevice } from "./assignment-store.ts";
import type { RolloutsDeps, SignedRelease } from "./types.ts";

/** How long an offer stays good; a device that is away for longer gets a fresh one. */
export const ASSIGNMENT_LIFETIME_MS = 30 * 86_400_000;

/** Rollouts wait a little longer than devices do, so as to hear what became of it. */
export function graceful(deadlineMs: number): number {
  return Math.round(deadlineMs * 1.25);
}

export interface Order {
  tenantId: string;
  action: Assignment["action"];
  allowDowngrade: boolean;
  deadlines: PhaseDeadlines;
  traceparent: string | null;
}

type WriterDeps = Pick<RolloutsDeps, "firmware" | "artifactUrl" | "clock">;

/** Writes and signs assignments; offers and releases are asked for once per kind of device. */
export function createAssignmentWriter(deps: WriterDeps) {
  const { firmware, clock, artifactUrl } = deps;
  const offers = new Map<string, ReturnType<typeof firmware.offers>>();
  const releases = new Map<string, Promise<SignedRelease>>();
  /** Devices that would have used a patch, where there is none from what they run. */
  const lacking: AddressedDevice[] = [];

  function releaseOf(tenantId: string, id: string): Promise<SignedRelease> {
    let release = releases.get(id);
    if (!release) {
      release = firmware.releases.get(tenantId, id);
      releases.set(id, release);
    }
    return release;
  }

  async function artifactsFor(tenantId: string, device: AddressedDevice) {
    const { formats, firmware_sha256: sourceSha256, target_sha256: targetSha256 } = device;
    const key = `${targetSha256}/${sourceSha256}/${[...formats].sort().join(",")}`;
    let found = offers.get(key);
    if (!found) {
      found = firmware.offers(tenantId, { targetSha256, sourceSha256, formats });
      offers.set(key, found);
    }
    const all = await found;
    const isPatched = all.some((offer) => offer.sourceSha256 !== null);
    if (!isPatched && sourceSha256 !== null && takesPatches(formats)) lacking.push(device);
    return all.map((offer) => ({ ...offer, url: artifactUrl(offer.sha256) }));
  }

  function componentsOf({ envelope }: SignedRelease): Pick<Assignment, "components"> {
    const { components } = envelope.signed;
    if (!components?.length) return {};
    return {
      components: components.map(({ component, sha256, sizeBytes }) => ({
        component,
        url: artifactUrl(sha256),
        sha256,
        sizeBytes,
      })),
    };
  }

  return {
    releaseOf,
    lacking: lacking as readonly AddressedDevice[],
    async write(order: Order, device: AddressedDevice): Promise<Envelope<Assignment>> {
      const { tenantId, action } = order;
      const now = clock.now();
      const cancels = action === "cancel";
      const release = cancels ? null : await releaseOf(tenantId, device.target_release_id);
      return firmware.signAssignment(tenantId, {
        _type: "assignment",
        specVersion: 1,
        tenant: tenantId,
        device: device.device_id,
        updateId: device.update_id,
        sequence: device.sequence,
        action,
        issuedAt: new Date(now).toISOString(),
        expires: new Date(now + ASSIGNMENT_LIFETIME_MS).toISOString(),
        allowDowngrade: order.allowDowngrade,
        release: release?.envelope ?? null,
        artifacts: cancels ? [] : await artifactsFor(tenantId, device),
        ...(release ? componentsOf(release) : {}),
        deadlines: order.deadlines,
        traceparent: order.traceparent,
      });
    },
  };
}
