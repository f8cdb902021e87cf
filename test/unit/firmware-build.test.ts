import { generateKeyPairSync, sign } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import fc from "fast-check";
import { afterAll, describe, expect, it } from "vitest";
import { bufferSource, recognise } from "../../src/firmware/formats/index.ts";
import {
  buildRelease,
  readAttestorKey,
  readProvenance,
  readSbom,
  summariseSbom,
} from "../../src/firmware/index.ts";
import { canonicalJson } from "../../src/protocol/index.ts";
import {
  cpioOf,
  elfOf,
  INTEL_HEX,
  menderBomb,
  menderOf,
  raucOf,
  swuOf,
  tarHeader,
  tarOf,
  uf2Of,
} from "../support/firmware-files.ts";

const root = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-build-"));
afterAll(() => fs.rmSync(root, { recursive: true, force: true }));

const look = (content: Buffer | string) => recognise(bufferSource(Buffer.from(content)));

describe("files of a release", () => {
  it.each([
    [
      "swu",
      swuOf("2.4.0"),
      { version: "2.4.0", hardware: "rev-a, rev-b", signed: "yes", files: "1" },
    ],
    [
      "mender",
      menderOf(),
      {
        artifactName: "release-7",
        hardware: "gateway, gateway-lite",
        payloads: "rootfs-image",
        signed: "yes",
      },
    ],
    [
      "rauc-bundle",
      raucOf(),
      { compatible: "acme-gateway", version: "3.1.0", format: "verity", compression: "zstd" },
    ],
    ["elf", elfOf(), { machine: "AArch64", bits: "64", type: "executable" }],
    ["uf2", uf2Of(), { family: "RP2040", blocks: "1", complete: "yes", address: "0x10000000" }],
    [
      "intel-hex",
      INTEL_HEX,
      { firstAddress: "0x8000000", lastAddress: "0x8000013", dataBytes: "20", complete: "yes" },
    ],
    ["tar", tarOf([["a", "b"]]), { files: "1" }],
    ["cpio", cpioOf([["a", "b"]]), {}],
    ["gzip", Buffer.from("1f8b0800", "hex"), {}],
    ["pe", "MZ and more", {}],
    ["raw", "nothing of the kind", {}],
    ["raw", "", {}],
  ] as const)("are recognised by their content: %s", async (kind, content, facts) => {
    expect(await look(content as Buffer)).toMatchObject({ kind, facts });
  });

  it("say what is missing or wrong in them", async () => {
    const cut = INTEL_HEX.replace(":00000001FF\r\n", "");
    expect((await look(cut)).facts.complete).toBe("no");
    expect((await look(INTEL_HEX.replace("A6", "A7"))).facts).toMatchObject({ faults: "1" });
    expect((await look(uf2Of().subarray(0, 511))).kind).toBe("raw");
  });

  it("do no harm, whatever they claim", async () => {
    const started = process.cpuUsage();
    const hostile: [string, Buffer][] = [
      ["a bomb in the header", menderBomb()],
      ["a name that climbs out", tarOf([["../../etc/passwd", "x"]])],
      [
        "a size beyond the end",
        Buffer.concat([tarHeader("version", 0o7777777777), Buffer.alloc(512)]),
      ],
      [
        "entries without end",
        Buffer.concat(Array.from({ length: 9_000 }, () => tarHeader("a", 0))),
      ],
      ["a description of megabytes", cpioOf([["sw-description", 'version = "'.repeat(200_000)]])],
      ["names of control characters", swuOf("\u001b[2J\u0007")],
      ["a line without end", Buffer.from(`:${"00".repeat(3_000_000)}`)],
      [
        "a signature as long as the file",
        Buffer.concat([raucOf(), Buffer.alloc(7), Buffer.from([255])]),
      ],
    ];
    for (const [name, content] of hostile) {
      const { facts } = await look(content);
      for (const value of Object.values(facts)) expect(value, name).toMatch(/^[^\p{C}]{1,256}$/u);
    }
    expect(process.cpuUsage(started).user).toBeLessThan(5_000_000);
  });

  it("are looked at without a fault, however they are damaged", async () => {
    const good = [swuOf("1.0.0"), menderOf(), raucOf(), elfOf(), uf2Of(), Buffer.from(INTEL_HEX)];
    await fc.assert(
      fc.asyncProperty(
        fc.constantFrom(...good),
        fc.array(fc.tuple(fc.nat(), fc.integer({ min: 0, max: 255 })), { maxLength: 16 }),
        fc.nat(),
        async (content, edits, cut) => {
          const damaged = Buffer.from(content.subarray(0, 1 + (cut % content.length)));
          for (const [at, byte] of edits) damaged[at % damaged.length] = byte;
          const { kind, facts } = await recognise(bufferSource(damaged));
          expect(kind).toMatch(/^[a-z0-9-]+$/);
          expect(Object.values(facts).every((fact) => typeof fact === "string")).toBe(true);
        },
      ),
      { numRuns: 300 },
    );
  });
});

describe("a build", () => {
  const common = {
    tenant: "acme",
    securityCounter: 2,
    minimumSourceVersion: null,
    createdAtMs: Date.UTC(2026, 0, 1),
    validityDays: 30,
    components: [],
  };

  /** The same content in another folder, made in another order, at another time, with another umask. */
  function layOut(name: string, umask: number, at: Date, reverse: boolean): string {
    const before = process.umask(umask);
    try {
      const folder = path.join(root, name, "rootfs");
      const files = [
        ["bin/run", "#!/bin/sh\n"],
        ["etc/config", "a=1\n"],
        ["etc/z", "last"],
        ["B", "upper"],
        [`deep/${"long-folder-name/".repeat(6)}file`, "deep"],
      ] as [string, string][];
      for (const [file, content] of reverse ? files.reverse() : files) {
        const whole = path.join(folder, file);
        fs.mkdirSync(path.dirname(whole), { recursive: true });
        fs.writeFileSync(whole, content, { mode: file === "bin/run" ? 0o777 : 0o666 });
        fs.utimesSync(whole, at, at);
      }
      fs.symlinkSync("run", path.join(folder, "bin/alias"));
      return folder;
    } finally {
      process.umask(before);
    }
  }

  async function buildIn(name: string, umask: number, at: Date, reverse: boolean) {
    const image = layOut(name, umask, at, reverse);
    const archiveDirectory = path.join(root, name);
    const built = await buildRelease({
      ...common,
      ...{
        image,
        archiveDirectory,
        product: "hub",
        version: "1.0.0",
        hardwareRevisions: ["b", "a"],
      },
    });
    const archive = fs.readFileSync(path.join(archiveDirectory, "rootfs.tar"));
    return { bytes: canonicalJson(built.envelope), archive, built };
  }

  it("gives the same bytes from the same files, wherever and whenever they lie", async () => {
    const one = await buildIn("one", 0o022, new Date("2020-01-01"), false);
    const two = await buildIn("two", 0o077, new Date("2026-06-01"), true);
    expect(two.archive.equals(one.archive)).toBe(true);
    expect(two.bytes).toBe(one.bytes);
    expect(one.built.envelope.signed.image).toMatchObject({ name: "rootfs.tar", kind: "tar" });
    expect((await look(one.archive)).facts.files).toBe("15");
  });

  it("is dated by its newest file, whenever it is built", async () => {
    const [older, newer] = [new Date("2026-02-01T10:00:00Z"), new Date("2026-03-01T10:00:00.7Z")];
    const image = layOut("dated", 0o022, older, false);
    const boot = path.join(root, "dated-boot.hex");
    fs.writeFileSync(boot, INTEL_HEX);
    fs.utimesSync(boot, newer, newer);
    const facts = { product: "hub", version: "1.0.0", hardwareRevisions: ["a"] };
    const make = async (changes: object = {}) => {
      const options = { ...common, ...facts, image, archiveDirectory: root, ...changes };
      return (await buildRelease({ ...options, createdAtMs: undefined })).envelope;
    };
    const first = await make();
    expect(first.signed.createdAt).toBe("2026-02-01T10:00:00.000Z");
    await new Promise((resolve) => setTimeout(resolve, 5));
    expect(canonicalJson(await make())).toBe(canonicalJson(first));
    const both = await make({ components: [{ component: "boot", file: boot }] });
    expect(both.signed.createdAt).toBe("2026-03-01T10:00:00.000Z");
  });

  it("takes from the image what it says, and asks for what it does not", async () => {
    const image = path.join(root, "hub.swu");
    fs.writeFileSync(image, swuOf("2.4.0"));
    const built = await buildRelease({ ...common, image, archiveDirectory: root, product: "hub" });
    expect(built.envelope.signed).toMatchObject({
      version: "2.4.0",
      hardwareRevisions: ["rev-a", "rev-b"],
      image: { kind: "swu", name: "hub.swu" },
    });
    const unnamed = buildRelease({ ...common, image, archiveDirectory: root });
    await expect(unnamed).rejects.toThrow(/does not say its product/);
  });

  it("takes no damaged file for a raw image", async () => {
    const image = path.join(root, "damaged.hex");
    fs.writeFileSync(image, ":0400000000000000FF\n:00000001FF\n");
    const facts = { product: "hub", version: "1.0.0", hardwareRevisions: ["a"] };
    const refused = buildRelease({ ...common, ...facts, image, archiveDirectory: root });
    await expect(refused).rejects.toThrow(/damaged\.hex is named as intel-hex and is damaged/);
    const renamed = path.join(root, "damaged.bin");
    fs.renameSync(image, renamed);
    const options = { ...common, ...facts, image: renamed, archiveDirectory: root };
    expect((await buildRelease(options)).envelope.signed.image.kind).toBe("raw");
  });

  it("carries several files, a bill of materials and a provenance that somebody vouches for", async () => {
    const image = path.join(root, "pump.uf2");
    fs.writeFileSync(image, uf2Of());
    const boot = path.join(root, "boot.hex");
    fs.writeFileSync(boot, INTEL_HEX);
    const sbom = path.join(root, "pump.cdx.json");
    fs.writeFileSync(sbom, JSON.stringify(CYCLONEDX));
    const provenance = path.join(root, "pump.intoto.json");
    const key = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const pem = key.publicKey.export({ type: "spki", format: "pem" }) as string;
    const { createHash } = await import("node:crypto");
    const sha256 = createHash("sha256").update(uf2Of()).digest("hex");
    const facts = { product: "pump", version: "1.0.0", hardwareRevisions: ["a"] };
    const make = (subject: string, keys = [readAttestorKey(pem)]) => {
      fs.writeFileSync(provenance, JSON.stringify(attestation(subject, key.privateKey)));
      return buildRelease({
        ...common,
        ...facts,
        image,
        archiveDirectory: root,
        components: [{ component: "bootloader", file: boot }],
        sbom,
        provenance: { file: provenance, keys },
      });
    };
    const built = await make(sha256);
    expect(built.envelope.signed).toMatchObject({
      components: [{ component: "bootloader", name: "boot.hex", kind: "intel-hex" }],
      sbom: { format: "cyclonedx", name: "pump.cdx.json" },
      provenance: { predicateType: "https://slsa.dev/provenance/v1" },
    });
    expect(built.provenance?.signers).toHaveLength(1);
    await expect(make("0".repeat(64))).rejects.toThrow(/other files than the image/);
    const stranger = generateKeyPairSync("ed25519").publicKey;
    const strange = readAttestorKey(stranger.export({ type: "spki", format: "pem" }) as string);
    await expect(make(sha256, [strange])).rejects.toThrow(/none of the given keys/);
  });

  it("takes no link that leads out of the folder, and nothing that is neither file nor folder", async () => {
    for (const target of ["/etc/passwd", "../../outside", "../rootfs-other"]) {
      const folder = fs.mkdtempSync(path.join(root, "links-"));
      fs.symlinkSync(target, path.join(folder, "link"));
      const built = buildRelease({
        ...common,
        image: folder,
        archiveDirectory: root,
        product: "p",
      });
      await expect(built).rejects.toThrow(/leads out of the folder/);
    }
    const empty = fs.mkdtempSync(path.join(root, "empty-"));
    const nothing = buildRelease({ ...common, image: empty, archiveDirectory: root, product: "p" });
    await expect(nothing).rejects.toThrow(/is empty/);
  });
});

const CYCLONEDX = {
  bomFormat: "CycloneDX",
  specVersion: "1.6",
  serialNumber: "urn:uuid:3e671687-395b-41f5-a30f-a58921a69b79",
  components: [
    {
      type: "library",
      name: "zlib",
      version: "1.3.1",
      purl: "pkg:generic/zlib@1.3.1",
      licenses: [{ license: { id: "Zlib" } }],
    },
    { type: "operating-system", name: "linux" },
  ],
};
const SPDX = {
  spdxVersion: "SPDX-2.3",
  SPDXID: "SPDXRef-DOCUMENT",
  dataLicense: "CC0-1.0",
  name: "hub",
  documentNamespace: "https://example.com/hub",
  packages: [
    {
      SPDXID: "SPDXRef-zlib",
      name: "zlib",
      versionInfo: "1.3.1",
      licenseConcluded: "Zlib",
      externalRefs: [{ referenceType: "purl", referenceLocator: "pkg:generic/zlib" }],
    },
  ],
};

function attestation(sha256: string, key: Parameters<typeof sign>[2]) {
  const payload = Buffer.from(
    JSON.stringify({
      _type: "https://in-toto.io/Statement/v1",
      subject: [{ name: "pump.uf2", digest: { sha256 } }],
      predicateType: "https://slsa.dev/provenance/v1",
      predicate: {
        buildDefinition: {
          buildType: "https://example.com/make",
          resolvedDependencies: [
            { uri: "git+https://example.com/pump", digest: { gitCommit: "abc" } },
          ],
        },
        runDetails: { builder: { id: "https://example.com/runner" } },
      },
    }),
  );
  const payloadType = "application/vnd.in-toto+json";
  const pae = Buffer.concat([
    Buffer.from(`DSSEv1 ${payloadType.length} ${payloadType} ${payload.length} `),
    payload,
  ]);
  const sig = sign("sha256", pae, key).toString("base64");
  return { payloadType, payload: payload.toString("base64"), signatures: [{ keyid: "", sig }] };
}

/** A component with another inside it, `depth` deep. */
function nested(depth: number): object {
  const inside = depth > 0 ? { components: [nested(depth - 1)] } : {};
  return { type: "library", name: `part-${depth}`, ...inside };
}

describe("a bill of materials", () => {
  const read = (document: unknown) => readSbom(Buffer.from(JSON.stringify(document)));

  it("is read with what its components are made of", () => {
    const components = [nested(3), { type: "library", name: "zlib" }];
    const names = read({ ...CYCLONEDX, components }).components.map(({ name }) => name);
    expect(names).toEqual(["part-3", "part-2", "part-1", "part-0", "zlib"]);
  });

  it("is summed up by its first components and the number of all", () => {
    const components = Array.from({ length: 600 }, (_, n) => ({ type: "library", name: `c${n}` }));
    const summary = summariseSbom(read({ ...CYCLONEDX, components }));
    expect(summary).toMatchObject({ componentCount: 600, specVersion: "1.6" });
    expect(summary.components).toHaveLength(500);
  });

  it("is read from CycloneDX and SPDX", () => {
    expect(read(CYCLONEDX)).toMatchObject({
      format: "cyclonedx",
      components: [
        { name: "zlib", version: "1.3.1", license: "Zlib" },
        { name: "linux", version: null },
      ],
    });
    expect(read(SPDX)).toMatchObject({
      format: "spdx",
      components: [{ name: "zlib", license: "Zlib", purl: "pkg:generic/zlib" }],
    });
  });

  it.each([
    ["nothing", null],
    ["a list", []],
    ["another document", { hello: 1 }],
    ["CycloneDX 1.0", { ...CYCLONEDX, specVersion: "1.0" }],
    ["a serial number of another kind", { ...CYCLONEDX, serialNumber: "7" }],
    ["components that are none", { ...CYCLONEDX, components: {} }],
    ["a component that is null", { ...CYCLONEDX, components: [null] }],
    ["a component without a name", { ...CYCLONEDX, components: [{ type: "library" }] }],
    ["components without end", { ...CYCLONEDX, components: [nested(40)] }],
    ["SPDX 3", { ...SPDX, spdxVersion: "SPDX-3.0" }],
    ["SPDX without a namespace", { ...SPDX, documentNamespace: "" }],
    ["an SPDX package without an id", { ...SPDX, packages: [{ name: "x" }] }],
  ])("is refused where it is %s", (_, document) => {
    expect(() => read(document)).toThrow(/the bill of materials/);
  });
});

describe("a provenance", () => {
  const { privateKey, publicKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
  const keys = [readAttestorKey(publicKey.export({ type: "spki", format: "pem" }) as string)];
  const good = attestation("a".repeat(64), privateKey);
  const read = (document: unknown) => readProvenance(Buffer.from(JSON.stringify(document)), keys);

  it("is read from an envelope or a bundle, with who signed it", () => {
    for (const document of [good, { mediaType: "x", dsseEnvelope: good }]) {
      expect(read(document)).toMatchObject({
        signers: [expect.any(String)],
        builder: "https://example.com/runner",
        buildType: "https://example.com/make",
        sources: ["git+https://example.com/pump (abc)"],
      });
    }
  });

  it("proves nothing where payload or type were altered", () => {
    const payload = Buffer.from(good.payload, "base64");
    payload[payload.indexOf("pump")] = 0x50;
    expect(read({ ...good, payload: payload.toString("base64") }).signers).toEqual([]);
    const none = { ...good, signatures: [] };
    expect(read(none).signers).toEqual([]);
  });

  it.each([
    ["no envelope", { hello: 1 }],
    ["another type", { ...good, payloadType: "text/plain" }],
    ["a payload that is no JSON", { ...good, payload: "AAAA" }],
    ["another statement", { ...good, payload: Buffer.from('{"_type":"x"}').toString("base64") }],
    ["signatures that are null", { ...good, signatures: [null] }],
  ])("is refused where it is %s", (_, document) => {
    expect(() => read(document)).toThrow(/the provenance/);
  });
});
