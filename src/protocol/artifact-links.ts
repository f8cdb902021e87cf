import { type KeyObject, sign, verify } from "node:crypto";
import { AppError } from "../kernel/index.ts";
import { DEVICE_ID, TENANT_ID } from "./identity.ts";

/** What a signed URL permits: one artifact, in one tenant's name, for a while. */
export interface ArtifactLink {
  sha256: string;
  tenantId: string;
  /** The one device that it was made for, where it is bound to one. */
  deviceId: string | null;
  /** Seconds since the epoch. */
  expires: number;
}

export interface LinkKey {
  id: string;
  privateKey: KeyObject;
}

/** Ids of the keys in force and their public halves. */
export type LinkKeys = ReadonlyMap<string, KeyObject>;

const SCHEME = "vautn-artifact-link-v1";
const PARAMETERS = ["tenant", "device", "expires", "key", "signature"];
/** Clocks of platform and site caches may differ by so much. */
const SKEW_SECONDS = 30;

/** Path and query of the URL that `link` permits. */
export function artifactLinkPath(link: ArtifactLink, key: LinkKey): string {
  const signature = sign(null, textOf(link, key.id), key.privateKey).toString("base64url");
  const query = new URLSearchParams({
    tenant: link.tenantId,
    ...(link.deviceId === null ? {} : { device: link.deviceId }),
    expires: String(link.expires),
    key: key.id,
    signature,
  });
  return `/artifacts/${link.sha256}?${query}`;
}

/**
 * What the query of a URL permits for `sha256`; `link-refused` for everything that a key in force
 * has not signed for now. Nothing of the query is believed before its signature.
 */
export function checkArtifactLink(
  sha256: string,
  query: Readonly<Record<string, unknown>>,
  keys: LinkKeys,
  nowMs: number,
): ArtifactLink {
  const { tenant, device, expires, key, signature } = query;
  // A parameter twice is an array, and one that nobody signed has no place here.
  if (Object.keys(query).some((name) => !PARAMETERS.includes(name))) throw refused();
  if (typeof tenant !== "string" || !TENANT_ID.test(tenant)) throw refused();
  if (device !== undefined && (typeof device !== "string" || !DEVICE_ID.test(device))) {
    throw refused();
  }
  if (typeof expires !== "string" || !/^\d{1,12}$/.test(expires)) throw refused();
  if (typeof signature !== "string" || !/^[A-Za-z0-9_-]{86}$/.test(signature)) throw refused();
  const publicKey = typeof key === "string" ? keys.get(key) : undefined;
  if (!publicKey) throw refused();
  const deviceId = device ?? null;
  const link = { sha256, tenantId: tenant, deviceId, expires: Number(expires) };
  // Ed25519 is verified in constant time by OpenSSL; there is no secret to compare with here.
  const genuine = verify(
    null,
    textOf(link, key as string),
    publicKey,
    Buffer.from(signature, "base64url"),
  );
  if (!genuine || nowMs / 1000 > link.expires + SKEW_SECONDS) throw refused();
  return link;
}

function textOf({ sha256, tenantId, deviceId, expires }: ArtifactLink, keyId: string): Buffer {
  return Buffer.from([SCHEME, sha256, tenantId, deviceId ?? "", expires, keyId].join("\n"));
}

/** One answer for every reason: who tries gets to know nothing. */
function refused(): AppError {
  return new AppError("link-refused", "the link is not valid for this, or not any more");
}
