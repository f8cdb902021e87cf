import { isAppError } from "../kernel/index.ts";
import type { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import type { StandingChange } from "./deps.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";

/** Makes a change of standing count on the connections that live here. */
export function applyStanding(context: GatewayContext, change: StandingChange): void {
  if (change.kind === "application") return;
  // Whom it concerns and who is being authenticated at the moment is asked again.
  context.standing.add(change);
  for (const connection of concerned(context, change)) {
    if (!connection.isOpen) continue;
    const isCertain = change.kind === "suspended" || change.serial !== undefined;
    if (change.kind === "revoked" || change.kind === "suspended") {
      if (isCertain) end(connection, `the ${wordOf(change)} was ${change.kind}`);
      // The device may have been enrolled anew since: what its certificate is worth decides.
      else void look(connection);
    } else if (change.kind === "quarantined" || change.kind === "released") {
      void look(connection);
    }
  }
}

function concerned({ registry }: GatewayContext, change: StandingChange): Connection[] {
  const { tenantId, deviceId, serial } = change;
  if (deviceId === undefined) return registry.ofTenant(tenantId);
  const connection = registry.find({ tenantId, deviceId });
  if (!connection || (serial !== undefined && connection.peer.serial !== serial)) return [];
  return [connection];
}

/** Asks anew who is there, and goes by the answer; without one the device has to come again. */
async function look(connection: Connection): Promise<void> {
  const { identity } = connection.context.deps;
  try {
    const peer = await identity.authenticatePeer(connection.socket, { renewal: true });
    connection.setQuarantined(peer.quarantined === true);
  } catch (error) {
    end(
      connection,
      isAppError(error, "certificate-refused") ? error.message : "the certificate must be checked",
    );
  }
}

function end(connection: Connection, why: string): void {
  connection.fail(new ConnectionFault(REASON.notAuthorized, why), true);
}

function wordOf(change: StandingChange): string {
  if (change.kind === "suspended") return "tenant";
  return change.serial === undefined ? "device" : "certificate";
}
