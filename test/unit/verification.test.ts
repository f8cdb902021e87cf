import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { describe, expect, it } from "vitest";
import {
  type ArtifactFormat,
  type Assignment,
  addSignature,
  type DeviceFacts,
  type Envelope,
  type ReleaseManifest,
  type RootMetadata,
  signDocument,
  signingKeyId,
  signingKeyOf,
  usableOffers,
  type VerificationCheck,
  verifyAssignment,
} from "../../src/protocol/index.ts";

const NOW = Date.UTC(2026, 5, 1);
const LATER = new Date(NOW + 86_400_000).toISOString();
const EARLIER = new Date(NOW - 86_400_000).toISOString();
const SHA = (letter: string) => letter.repeat(64);

const makeKey = (): KeyObject => generateKeyPairSync("ed25519").privateKey;
const keys = {
  root: makeKey(),
  release1: makeKey(),
  release2: generateKeyPairSync("ec", { namedCurve: "P-256" }).privateKey,
  director: makeKey(),
  stranger: makeKey(),
};
const idOf = (key: KeyObject) => signingKeyId(signingKeyOf(key));

const root: RootMetadata = {
  _type: "root",
  specVersion: 1,
  version: 1,
  tenant: "acme",
  expires: LATER,
  keys: Object.fromEntries(Object.values(keys).map((key) => [idOf(key), signingKeyOf(key)])),
  roles: {
    root: { keyIds: [idOf(keys.root)], threshold: 1 },
    release: { keyIds: [idOf(keys.release1), idOf(keys.release2)], threshold: 2 },
    director: { keyIds: [idOf(keys.director)], threshold: 1 },
  },
};

const manifest: ReleaseManifest = {
  _type: "release",
  specVersion: 1,
  tenant: "acme",
  product: "pump",
  version: "1.1.0",
  hardwareRevisions: ["a", "b"],
  securityCounter: 3,
  minimumSourceVersion: "1.0.0",
  image: { name: "pump.bin", sha256: SHA("b"), sizeBytes: 1000 },
  createdAt: EARLIER,
  expires: LATER,
};

const facts: DeviceFacts = {
  tenant: "acme",
  device: "pump-1",
  product: "pump",
  hardwareRevision: "a",
  runningVersion: "1.0.0",
  runningSha256: SHA("a"),
  securityFloor: 3,
  lastSequence: 7,
  slotSizeBytes: 1000,
  trustedTimeMs: NOW,
};

interface Case {
  manifest?: Partial<ReleaseManifest>;
  assignment?: Partial<Assignment>;
  root?: Partial<RootMetadata>;
  facts?: Partial<DeviceFacts>;
  releaseSigners?: KeyObject[];
  directorSigner?: KeyObject;
  /** Alters the finished envelope, as someone on the way would. */
  tamper?: (envelope: Envelope<Assignment>) => void;
}

function judge(change: Case) {
  const release = signDocument<ReleaseManifest>(
    { ...manifest, ...change.manifest },
    change.releaseSigners ?? [keys.release1, keys.release2],
  );
  const assignment: Assignment = {
    _type: "assignment",
    specVersion: 1,
    tenant: "acme",
    device: "pump-1",
    updateId: "u-1",
    sequence: 8,
    action: "install",
    issuedAt: EARLIER,
    expires: LATER,
    allowDowngrade: false,
    release,
    artifacts: [],
    deadlines: { offered: 1, downloading: 1, installing: 1, rebooting: 1, confirming: 1 },
    traceparent: null,
    ...change.assignment,
  };
  const envelope = structuredClone(
    signDocument(assignment, [change.directorSigner ?? keys.director]),
  );
  change.tamper?.(envelope);
  return verifyAssignment(envelope, { ...root, ...change.root }, { ...facts, ...change.facts });
}

describe("a device that judges an assignment", () => {
  it("accepts what is signed, fresh and meant for it", () => {
    expect(judge({})).toEqual({ accepted: true });
  });

  const refusals: [string, VerificationCheck, Case][] = [
    ["a release that is no release", "format", { assignment: { release: {} as never } }],
    ["no release where one is needed", "format", { assignment: { release: null } }],
    [
      "an artifact without a hash",
      "format",
      { assignment: { artifacts: [{ url: "x" }] as never } },
    ],
    ["an assignment by another key", "director-signature", { directorSigner: keys.stranger }],
    ["an assignment by a release key", "director-signature", { directorSigner: keys.release1 }],
    [
      "an assignment altered on the way",
      "director-signature",
      {
        tamper: (envelope) => {
          envelope.signed.device = "pump-2";
        },
      },
    ],
    ["one release signature of two", "release-signature", { releaseSigners: [keys.release1] }],
    [
      "the same release key twice",
      "release-signature",
      { releaseSigners: [keys.release1, keys.release1] },
    ],
    [
      "a release by the director",
      "release-signature",
      { releaseSigners: [keys.director, keys.release1] },
    ],
    ["an expired assignment", "expiry", { assignment: { expires: EARLIER } }],
    ["an expired release", "expiry", { manifest: { expires: EARLIER } }],
    ["an expired root", "expiry", { root: { expires: EARLIER } }],
    ["an expiry that is no date", "expiry", { assignment: { expires: "never" } }],
    ["a replayed assignment", "sequence", { assignment: { sequence: 7 } }],
    ["an assignment of another tenant", "tenant", { assignment: { tenant: "globex" } }],
    ["a release of another tenant", "tenant", { manifest: { tenant: "globex" } }],
    ["an assignment for another device", "device", { assignment: { device: "pump-2" } }],
    ["another product", "product", { manifest: { product: "valve" } }],
    ["other hardware", "hardware", { manifest: { hardwareRevisions: ["c"] } }],
    ["a counter below the floor", "security-counter", { manifest: { securityCounter: 2 } }],
    [
      "a version that needs a stepping stone",
      "minimum-version",
      { facts: { runningVersion: "0.9.0" } },
    ],
    ["an unwanted downgrade", "downgrade", { facts: { runningVersion: "2.0.0" } }],
    ["an image that does not fit", "size", { facts: { slotSizeBytes: 999 } }],
  ];
  it.each(refusals)("refuses %s (%s)", (_, check, change) => {
    expect(judge(change)).toMatchObject({ accepted: false, check });
  });

  it("permits a downgrade when the director means it, but never below the floor", () => {
    const back = { facts: { runningVersion: "2.0.0" }, assignment: { allowDowngrade: true } };
    expect(judge(back)).toEqual({ accepted: true });
    expect(judge({ ...back, manifest: { securityCounter: 2 } })).toMatchObject({
      check: "security-counter",
    });
  });

  it("accepts a cancellation without a release, signed by the director alone", () => {
    const cancel: Partial<Assignment> = { action: "cancel", release: null };
    expect(judge({ assignment: cancel })).toEqual({ accepted: true });
    expect(judge({ assignment: cancel, directorSigner: keys.stranger })).toMatchObject({
      check: "director-signature",
    });
  });

  it.each([undefined, null, 1, "x", [], {}, { signed: null, signatures: [] }])(
    "refuses %j without failing",
    (value) => {
      expect(verifyAssignment(value as never, root, facts)).toMatchObject({ check: "format" });
    },
  );

  it("counts signatures added by several people, each once", () => {
    const once = signDocument(manifest, [keys.release1]);
    const twice = addSignature(addSignature(once, keys.release2), keys.release2);
    expect(twice.signatures).toHaveLength(2);
    expect(judge({ assignment: { release: twice } })).toEqual({ accepted: true });
  });
});

describe("the choice of an artifact", () => {
  const offer = (format: ArtifactFormat, sizeBytes: number, sourceSha256: string | null) => ({
    format,
    url: "https://x/",
    sha256: SHA("c"),
    sizeBytes,
    sourceSha256,
  });

  it("takes the smallest that the device can apply to what it runs", () => {
    const offers = [
      offer("full", 1000, null),
      offer("zstd-patch", 10, SHA("z")),
      offer("zstd-patch", 50, SHA("a")),
      offer("full-zstd", 400, null),
    ];
    const formats = ["full", "full-zstd", "zstd-patch"];
    const sizes = (usable: typeof offers) => usable.map((each) => each.sizeBytes);
    expect(sizes(usableOffers(offers, { runningSha256: SHA("a"), formats }))).toEqual([
      50, 400, 1000,
    ]);
    expect(sizes(usableOffers(offers, { runningSha256: null, formats: ["full"] }))).toEqual([1000]);
  });
});
