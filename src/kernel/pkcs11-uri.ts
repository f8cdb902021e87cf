/** Which key in which token (RFC 7512): the part of the URI that names, without PIN or module. */
export interface TokenUri {
  /** Label of the token. */
  token?: string;
  /** Serial number of the token. */
  serial?: string;
  manufacturer?: string;
  model?: string;
  /** Label of the key (CKA_LABEL). */
  object?: string;
  /** CKA_ID, hex. */
  id?: string;
}

const NAMES = ["token", "serial", "manufacturer", "model", "object", "id"] as const;
const MAX_LENGTH = 1_000;

/**
 * Reads `pkcs11:token=...;object=...`. Throws with a sentence for people where it is none, names no
 * token or key, or holds what does not belong into something that is stored and shown.
 */
export function parseTokenUri(text: string): TokenUri {
  if (!text.startsWith("pkcs11:")) throw new Error("a key in a token is named by pkcs11:token=...");
  if (text.length > MAX_LENGTH) throw new Error("the PKCS#11 URI is too long");
  if (text.includes("?")) {
    throw new Error(
      "a PKCS#11 URI holds neither PIN nor module here: " +
        "name them with VAUTN_PKCS11_PIN_FILE and VAUTN_PKCS11_MODULE",
    );
  }
  const uri: TokenUri = {};
  for (const part of text.slice("pkcs11:".length).split(";").filter(Boolean)) {
    const at = part.indexOf("=");
    const name = part.slice(0, at) as (typeof NAMES)[number] | "type";
    const value = decode(part.slice(at + 1), name === "id" ? "hex" : "utf8");
    if (name === "type" && value === "private") continue;
    // RFC 7512 §2.3: what an attribute means that is not known cannot be guessed.
    if (!NAMES.includes(name as (typeof NAMES)[number])) {
      throw new Error(`the PKCS#11 URI has an attribute that is not understood: ${name}`);
    }
    uri[name as (typeof NAMES)[number]] = value;
  }
  if (!uri.token && !uri.serial) throw new Error("the PKCS#11 URI names no token (token=...)");
  if (!uri.object && !uri.id) throw new Error("the PKCS#11 URI names no key (object=...)");
  return uri;
}

function decode(text: string, encoding: "hex" | "utf8"): string {
  const parts = text.split(/(%[0-9a-f]{2})/i);
  return Buffer.concat(
    parts.map((part) =>
      /^%[0-9a-f]{2}$/i.test(part) ? Buffer.from(part.slice(1), "hex") : Buffer.from(part),
    ),
  ).toString(encoding);
}
