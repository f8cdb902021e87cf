import {
  canonicalJson,
  type DeviceTrust,
  type Envelope,
  followRoots,
  isRootEnvelope,
  MAX_ROOTS_IN_BUNDLE,
  meetsThreshold,
  NO_VERSIONS,
  type RootMetadata,
} from "../../protocol/index.ts";
import { readDocument, writeDocument } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";
import type { DeviceLog } from "../work/device-log.ts";

const FILE = "trust.json";

/**
 * What the device believes: the newest trust root that it has followed, and the versions of the
 * newest metadata. A document of its own, so that the state's many writes cannot harm it.
 */
export class TrustStore {
  readonly #storage: Storage;
  #current: DeviceTrust;

  /** What was kept could not be read: the device is back at what it was provisioned with. */
  readonly wasDamaged: boolean;

  private constructor(storage: Storage, current: DeviceTrust, wasDamaged: boolean) {
    this.#storage = storage;
    this.#current = current;
    this.wasDamaged = wasDamaged;
  }

  /**
   * The root that the device was provisioned with counts until a newer one has been followed.
   * Throws where that root is not signed by its own keys.
   */
  static async load(storage: Storage, provisioned: Envelope<RootMetadata>): Promise<TrustStore> {
    assertOwnSignatures(provisioned);
    const found = await readDocument(storage, FILE);
    const wasDamaged = found === "damaged";
    const kept = found && found !== "damaged" ? (found.document as DeviceTrust) : undefined;
    const start: DeviceTrust = { root: provisioned, versions: NO_VERSIONS };
    if (!kept || !isRootEnvelope(kept.root)) return new TrustStore(storage, start, wasDamaged);
    // The disk may be anybody's: the way from the provisioned root is gone again at each start.
    const path = Array.isArray(kept.path) ? kept.path : [];
    const { trust } = followRoots(path, start);
    const isKept = canonicalJson(trust.root) === canonicalJson(kept.root);
    if (isKept) {
      return new TrustStore(storage, { ...trust, versions: kept.versions }, wasDamaged);
    }
    const isOlder = kept.root.signed.version < provisioned.signed.version;
    return new TrustStore(storage, start, !isOlder);
  }

  /** For diagnostics. */
  describe() {
    return { root: this.#current.root.signed.version, metadata: this.#current.versions };
  }

  get current(): DeviceTrust {
    return this.#current;
  }

  /** Makes it durable, where it is another one than before. */
  async keep(trust: DeviceTrust): Promise<void> {
    if (trust === this.#current) return;
    if (JSON.stringify(trust.versions) === JSON.stringify(this.#current.versions)) {
      if (trust.root.signed.version === this.#current.root.signed.version) return;
    }
    await writeDocument(this.#storage, FILE, trust);
    this.#current = trust;
  }

  /** Follows the roots of a message as far as they hold. */
  async receive(message: unknown, log: Pick<DeviceLog, "write">): Promise<void> {
    const roots = (message as { roots?: unknown } | null)?.roots;
    if (!Array.isArray(roots) || roots.length > MAX_ROOTS_IN_BUNDLE) return;
    const before = this.#current.root.signed.version;
    const { trust, fault } = followRoots(roots, this.#current);
    await this.keep(trust);
    const { version } = trust.root.signed;
    const logger = { logger: "trust" };
    if (version > before) log.write("info", `follows trust root ${version}`, logger);
    if (fault) log.write("warn", `a trust root was refused: ${fault}`, logger);
  }
}

function assertOwnSignatures(envelope: Envelope<RootMetadata>): void {
  const { signed } = envelope;
  if (isRootEnvelope(envelope) && meetsThreshold(envelope, signed.roles.root, signed.keys)) return;
  throw new Error("the trust root is not signed by its own keys");
}
