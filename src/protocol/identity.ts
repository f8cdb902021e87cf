/** Names of tenants and devices, and the SPIFFE id that a device's certificate carries. */

export const TENANT_ID = /^[a-z0-9][a-z0-9-]{0,62}$/;
export const DEVICE_ID = /^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$/;

export interface DeviceIdentity {
  tenantId: string;
  deviceId: string;
}

export function isTenantId(value: unknown): value is string {
  return typeof value === "string" && TENANT_ID.test(value);
}

export function isDeviceId(value: unknown): value is string {
  return typeof value === "string" && DEVICE_ID.test(value);
}

/** X.509 constrains a URI by its host alone, so the tenant stands in the host. */
export function deviceUri(identity: DeviceIdentity, trustDomain: string): string {
  return `spiffe://${identity.tenantId}.${trustDomain}/device/${identity.deviceId}`;
}

/** The identity in a certificate's URI, or undefined where it is not exactly one of ours. */
export function parseDeviceUri(uri: string, trustDomain: string): DeviceIdentity | undefined {
  const match = /^spiffe:\/\/([^/]+)\/device\/([^/]+)$/.exec(uri);
  const host = match?.[1];
  const deviceId = match?.[2];
  if (!host?.endsWith(`.${trustDomain}`) || !isDeviceId(deviceId)) return undefined;
  const tenantId = host.slice(0, -trustDomain.length - 1);
  return isTenantId(tenantId) ? { tenantId, deviceId } : undefined;
}
