import type tls from "node:tls";
import type { DevicePeer, StandingChange } from "./deps.ts";

/**
 * Connections on which a device has shown its certificate. Every request asks anew who is there;
 * what is revoked in the middle of a long download ends here.
 */
export class LiveSockets {
  readonly #byDevice = new Map<string, Map<tls.TLSSocket, string>>();

  /** Remembers the connection until it closes; at most as many as the listener takes. */
  add(peer: DevicePeer, socket: tls.TLSSocket): void {
    const key = keyOf(peer.tenantId, peer.deviceId);
    const sockets = this.#byDevice.get(key) ?? new Map<tls.TLSSocket, string>();
    if (sockets.has(socket)) return;
    sockets.set(socket, peer.serial);
    this.#byDevice.set(key, sockets);
    socket.once("close", () => {
      sockets.delete(socket);
      if (sockets.size === 0 && this.#byDevice.get(key) === sockets) this.#byDevice.delete(key);
    });
    // It may have closed while the registry was asked.
    if (socket.destroyed) sockets.delete(socket);
  }

  /** Ends what may not go on; a device that may come again does so with its next request. */
  apply({ kind, tenantId, deviceId, serial }: StandingChange): void {
    if (kind !== "revoked" && kind !== "suspended") return;
    for (const sockets of this.#concerned(tenantId, deviceId)) {
      for (const [socket, own] of sockets) {
        if (serial === undefined || serial === own) socket.destroy();
      }
    }
  }

  #concerned(tenantId: string, deviceId: string | undefined): Map<tls.TLSSocket, string>[] {
    if (deviceId !== undefined) {
      const sockets = this.#byDevice.get(keyOf(tenantId, deviceId));
      return sockets ? [sockets] : [];
    }
    const prefix = keyOf(tenantId, "");
    return [...this.#byDevice].flatMap(([key, value]) => (key.startsWith(prefix) ? [value] : []));
  }
}

function keyOf(tenantId: string, deviceId: string): string {
  return `${tenantId}/${deviceId}`;
}
