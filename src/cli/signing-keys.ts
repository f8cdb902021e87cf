import type { Signer, SigningKey } from "../protocol/index.ts";
import type { Cli } from "./cli.ts";
import { misuse } from "./cli-error.ts";
import { readSigningKeyFile, readText } from "./document-files.ts";

export interface KeyOptions {
  passphraseEnv?: string;
}

/** A private key by its file, or by the URI of a key in a token (`pkcs11:token=...;object=...`). */
export async function openSigner(cli: Cli, name: string, options: KeyOptions): Promise<Signer> {
  if (isTokenUri(name)) {
    const { tokenSigner } = await import("../firmware/index.ts");
    return tokenSigner(await (await openTokens(cli)).key(name));
  }
  const { signerOf } = await import("../protocol/index.ts");
  return signerOf(await readSigningKeyFile(name, passphraseOf(cli, options)));
}

/** The public half, from a public key, a private one that may be encrypted, or a token. */
export async function readPublicHalf(
  cli: Cli,
  name: string,
  options: KeyOptions,
): Promise<SigningKey> {
  if (isTokenUri(name) || readText(name).includes("PRIVATE KEY")) {
    return (await openSigner(cli, name, options)).key;
  }
  const { readPublicKey } = await import("../firmware/index.ts");
  return readPublicKey(readText(name));
}

export function isTokenUri(name: string): boolean {
  return name.startsWith("pkcs11:");
}

export function passphraseOf(cli: Cli, { passphraseEnv }: KeyOptions): string | undefined {
  if (!passphraseEnv) return undefined;
  const passphrase = cli.io.environment[passphraseEnv];
  if (!passphrase) throw misuse(`${passphraseEnv} is not set`);
  return passphrase;
}

export async function openTokens(cli: Cli) {
  const { Tokens } = await import("../kernel/pkcs11.ts");
  const environment = cli.io.environment;
  const modulePath = environment.VAUTN_PKCS11_MODULE;
  if (!modulePath) {
    throw misuse("no token is named", "set VAUTN_PKCS11_MODULE and VAUTN_PKCS11_PIN_FILE");
  }
  const { VAUTN_PKCS11_PIN_FILE: pinFile, VAUTN_PKCS11_PIN: pin } = environment;
  return new Tokens({ modulePath, pinFile, pin });
}
