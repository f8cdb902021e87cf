import { spawnSync } from "node:child_process";
import type { X509Certificate } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { childOf, readDeviceTree, textOf } from "./flat-device-tree.ts";
import { invalidContent, missingPackage } from "./refusals.ts";
import type { BootSigner } from "./signed-data.ts";

/**
 * The public key as U-Boot wants it in its control device tree (doc/uImage.FIT/signature.txt): with
 * the Montgomery constants worked out, since the bootloader has no division.
 */
export function fitKeyNode(certificate: X509Certificate, name: string): string {
  if (!/^[a-z0-9][a-z0-9-]{0,31}$/.test(name)) {
    throw invalidContent(`"${name}" is no name for a key: small letters, digits and hyphens`);
  }
  const { n, e } = certificate.publicKey.export({ format: "jwk" });
  if (!n || !e) throw invalidContent("the certificate holds no RSA key");
  const modulus = BigInt(`0x${Buffer.from(n, "base64url").toString("hex")}`);
  const exponent = BigInt(`0x${Buffer.from(e, "base64url").toString("hex")}`);
  const bits = modulus.toString(2).length;
  const word = 1n << 32n;
  const cells = (value: bigint, count: number) =>
    Array.from(
      { length: count },
      (_, index) =>
        `0x${((value >> BigInt(32 * (count - 1 - index))) % word).toString(16).padStart(8, "0")}`,
    ).join(" ");
  const words = bits / 32;
  return `/ {
	signature {
		key-${name} {
			required = "conf";
			algo = "sha256,rsa${bits}";
			key-name-hint = "${name}";
			rsa,num-bits = <${bits}>;
			rsa,exponent = <${cells(exponent, 2)}>;
			rsa,n0-inverse = <0x${(word - inverse(modulus % word, word)).toString(16)}>;
			rsa,modulus = <${cells(modulus, words)}>;
			rsa,r-squared = <${cells((1n << BigInt(2 * bits)) % modulus, words)}>;
		};
	};
};
`;
}

/** The inverse modulo a power of two, by Newton's iteration. */
function inverse(value: bigint, modulus: bigint): bigint {
  let found = 1n;
  for (let bits = 1; bits < 64; bits *= 2) found = (found * (2n - value * found)) % modulus;
  return ((found % modulus) + modulus) % modulus;
}

/** Signatures of one FIT image by one key. */
export interface FitSignatures {
  /** Each configuration, with what it loads, and what of that the signature covers. */
  configurations: { name: string; covers: string[] }[];
}

/**
 * Signs the configurations of a FIT image in place by U-Boot's own `mkimage`. It knows keys as plain
 * files only: this one stands for the moment in a folder that nobody else can read. It is silent about
 * what it leaves unsigned; so what it is to sign is looked at before, and what it has signed after.
 */
export function signFit(image: string, signer: BootSigner, name: string): FitSignatures {
  const { asymmetricKeyDetails } = signer.certificate.publicKey;
  const bits = asymmetricKeyDetails?.modulusLength ?? 0;
  const asked = { name, algorithm: `rsa${bits}` };
  signaturesIn(image, asked);
  const keys = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-fit-"));
  try {
    const pem = signer.key.export({ type: "pkcs8", format: "pem" }) as string;
    fs.writeFileSync(path.join(keys, `${name}.key`), pem, { mode: 0o600 });
    fs.writeFileSync(path.join(keys, `${name}.crt`), signer.certificate.toString());
    const done = spawnSync("mkimage", ["-F", "-k", keys, "-g", name, "-r", image], {
      encoding: "utf8",
    });
    if (done.error) throw missingPackage("mkimage", "u-boot-tools");
    if (done.status !== 0) {
      const [reason = ""] = (done.stderr || done.stdout).trim().split("\n");
      throw invalidContent(`${image}: ${reason}`);
    }
  } finally {
    fs.rmSync(keys, { recursive: true, force: true });
  }
  return { configurations: signaturesIn(image, { ...asked, signatureBytes: bits / 8 }) };
}

/** Throws where a configuration has no place for this signature, or something that none covers. */
function signaturesIn(
  image: string,
  asked: { name: string; algorithm: string; signatureBytes?: number },
): FitSignatures["configurations"] {
  let content: Buffer;
  try {
    content = fs.readFileSync(image);
  } catch (error) {
    throw invalidContent(`${image} cannot be read`, error);
  }
  const configurations = childOf(readDeviceTree(content), "configurations")?.children ?? [];
  if (configurations.length === 0) throw invalidContent(`${image} has no configurations to sign`);
  return configurations.map((configuration) => {
    const at = `${image}: the configuration "${configuration.name}"`;
    const signature = configuration.children.find(
      (node) => /^signature(-|$)/.test(node.name) && textOf(node, "key-name-hint") === asked.name,
    );
    if (!signature) {
      throw invalidContent(`${at} has no signature node with key-name-hint = "${asked.name}"`);
    }
    const algorithm = textOf(signature, "algo") ?? "";
    if (algorithm !== `sha256,${asked.algorithm}`) {
      throw invalidContent(
        `${at} asks for a signature by "${algorithm}": the key makes "sha256,${asked.algorithm}"`,
      );
    }
    // Without the list U-Boot's mkimage takes kernel, device tree and nothing else.
    const covers = (textOf(signature, "sign-images") ?? "kernel\0fdt").split("\0");
    const loaded = LOADED.filter((kind) => configuration.properties.has(kind));
    const open = loaded.filter((kind) => !covers.includes(kind));
    if (open.length > 0) {
      throw invalidContent(`${at} loads ${open.join(", ")}, which its sign-images leaves out`);
    }
    const value = signature.properties.get("value");
    if (asked.signatureBytes !== undefined && value?.length !== asked.signatureBytes) {
      throw invalidContent(`${at} is not signed: mkimage has left it out`);
    }
    return { name: configuration.name, covers: loaded };
  });
}

/** What a configuration names of the images (doc/uImage.FIT/source_file_format.txt). */
const LOADED = ["kernel", "fdt", "ramdisk", "firmware", "loadables", "fpga", "script"];
