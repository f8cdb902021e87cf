import fs from "node:fs";
import { messageOf } from "./errors.ts";

export type Handle = Buffer;
type Attribute = { type: number; value?: unknown };

/** What of Cryptoki (PKCS#11 2.40) is used. The binding is optional, so its types are not. */
export interface Cryptoki {
  load(path: string): void;
  C_Initialize(options?: { flags: number }): void;
  C_GetSlotList(tokenPresent: boolean): Handle[];
  C_GetTokenInfo(slot: Handle): {
    label: string;
    serialNumber: string;
    manufacturerID: string;
    model: string;
  };
  C_OpenSession(slot: Handle, flags: number): Handle;
  C_CloseSession(session: Handle): void;
  C_Login(session: Handle, user: number, pin: string): void;
  C_FindObjectsInit(session: Handle, template: Attribute[]): void;
  C_FindObjects(session: Handle, limit: number): Handle[];
  C_FindObjectsFinal(session: Handle): void;
  C_GetAttributeValue(
    session: Handle,
    object: Handle,
    template: Attribute[],
  ): { type: number; value: Buffer }[];
  C_GenerateKeyPair(
    session: Handle,
    mechanism: { mechanism: number },
    publicKey: Attribute[],
    privateKey: Attribute[],
  ): unknown;
  C_SignInit(session: Handle, mechanism: { mechanism: number }, key: Handle): void;
  C_SignAsync(session: Handle, data: Buffer, signature: Buffer): Promise<Buffer>;
}

const CONSTANTS = [
  "CKF_OS_LOCKING_OK",
  "CKF_RW_SESSION",
  "CKF_SERIAL_SESSION",
  "CKU_USER",
  "CKO_PRIVATE_KEY",
  "CKO_PUBLIC_KEY",
  "CKA_CLASS",
  "CKA_LABEL",
  "CKA_ID",
  "CKA_TOKEN",
  "CKA_PRIVATE",
  "CKA_SENSITIVE",
  "CKA_EXTRACTABLE",
  "CKA_SIGN",
  "CKA_VERIFY",
  "CKA_EC_PARAMS",
  "CKA_EC_POINT",
  "CKM_EC_KEY_PAIR_GEN",
  "CKM_ECDSA",
] as const;

export type Binding = { PKCS11: new () => Cryptoki } & Record<(typeof CONSTANTS)[number], number>;

const loaded = new Map<string, { cryptoki: Cryptoki; binding: Binding }>();

/** The library at `path`, loaded and initialised once a process. */
export async function loadModule(path: string): Promise<{ cryptoki: Cryptoki; binding: Binding }> {
  const known = loaded.get(path);
  if (known) return known;
  if (!fs.existsSync(path)) throw new Error(`there is no PKCS#11 module at ${path}`);
  const binding = await loadBinding();
  const cryptoki = new binding.PKCS11();
  try {
    cryptoki.load(path);
    // Signatures run in the thread pool: the library has to lock.
    cryptoki.C_Initialize({ flags: binding.CKF_OS_LOCKING_OK });
  } catch (error) {
    if (!messageOf(error).includes("CKR_CRYPTOKI_ALREADY_INITIALIZED")) {
      throw new Error(`the PKCS#11 module ${path} does not start: ${messageOf(error)}`);
    }
  }
  const module = { cryptoki, binding };
  loaded.set(path, module);
  return module;
}

async function loadBinding(): Promise<Binding> {
  // Not a literal: it is compiled at the installation, and where that failed its types are missing.
  const name: string = "pkcs11js";
  try {
    const imported = (await import(name)) as { default?: Binding } & Binding;
    const binding = imported.default ?? imported;
    const missing = CONSTANTS.filter((name) => typeof binding[name] !== "number");
    if (missing.length > 0) throw new Error(`it knows no ${missing.join(", ")}`);
    return binding;
  } catch (cause) {
    throw new Error(
      "keys in tokens need the package pkcs11js, which could not be compiled here: " +
        "install a C++ compiler and run npm rebuild pkcs11js",
      { cause },
    );
  }
}
