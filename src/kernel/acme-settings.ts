import { isIP } from "node:net";
import { file, oneOf, port, type Setting, url } from "./setting-parsers.ts";

/** The listeners that a server certificate may be for. */
export const TLS_LISTENERS = ["api", "device-http", "gateway"] as const;
export type TlsListener = (typeof TLS_LISTENERS)[number];

/** How server certificates are had from another authority by ACME (RFC 8555). */
export interface AcmeConfig {
  /** The authority's directory; ACME is off where absent. */
  acmeDirectory: string | undefined;
  acmeAgree: boolean;
  acmeEmail: string | undefined;
  /** Names that the certificate is for; the public host where empty. */
  acmeNames: readonly string[];
  acmeListeners: readonly TlsListener[];
  /** Where the authority's HTTP-01 questions are answered. */
  acmeHttpPort: number;
  acmeEabKeyId: string | undefined;
  acmeEabKey: string | undefined;
  /** Whom to believe as the directory's server besides the public authorities. */
  acmeCaFile: string | undefined;
}

/** RFC 8555 §7.1.3: names that one order may hold here; authorities allow a hundred. */
const MAX_NAMES = 20;

export const ACME_SETTINGS: { [Name in keyof AcmeConfig]: Setting } = {
  acmeDirectory: url("VAUTN_ACME_DIRECTORY", "ACME directory that server certificates come from", [
    "https:",
  ]),
  acmeAgree: {
    variable: "VAUTN_ACME_AGREE",
    describe: "yes: you agree to the terms of service of that authority",
    parse: (text) => text !== undefined && oneOf(text, ["yes"]) === "yes",
  },
  acmeEmail: {
    variable: "VAUTN_ACME_EMAIL",
    describe: "e-mail address for the authority to write to",
    parse(text) {
      if (text !== undefined && !/^[^\s@]+@[^\s@]+$/.test(text)) throw new Error("is no address");
      return text;
    },
  },
  acmeNames: {
    variable: "VAUTN_ACME_NAMES",
    describe: "comma-separated host names of the certificate (default: VAUTN_PUBLIC_HOST)",
    parse: (text) => parseNames(text),
  },
  acmeListeners: {
    variable: "VAUTN_ACME_FOR",
    describe: `comma-separated: ${TLS_LISTENERS.join(", ")} (default api; devices believe our own root)`,
    parse: (text) => (text ?? "api").split(",").map((one) => oneOf(one.trim(), TLS_LISTENERS)),
  },
  acmeHttpPort: port("VAUTN_ACME_HTTP_PORT", "the answers to ACME's HTTP-01 questions", 80),
  acmeEabKeyId: {
    variable: "VAUTN_ACME_EAB_KID",
    describe: "key id of the external account, where the authority wants one",
    parse: (text) => text,
  },
  acmeEabKey: {
    variable: "VAUTN_ACME_EAB_KEY",
    describe: "key of the external account, base64url",
    secret: true,
    parse(text) {
      if (text !== undefined && !/^[A-Za-z0-9_-]{16,}$/.test(text)) {
        throw new Error("needs a key in base64url");
      }
      return text;
    },
  },
  acmeCaFile: file(
    "VAUTN_ACME_CA",
    "root in PEM that vouches for a private ACME server (default: the public authorities)",
  ),
};

/** What is wrong with the settings taken together. */
export function acmeProblems(config: Partial<AcmeConfig>): string[] {
  const problems: string[] = [];
  if (config.acmeDirectory && !config.acmeAgree) {
    problems.push("VAUTN_ACME_AGREE: say yes to the authority's terms of service, or use no ACME");
  }
  if (Boolean(config.acmeEabKeyId) !== Boolean(config.acmeEabKey)) {
    problems.push("VAUTN_ACME_EAB_KID, VAUTN_ACME_EAB_KEY: neither is of use without the other");
  }
  return problems;
}

function parseNames(text: string | undefined): readonly string[] {
  if (text === undefined) return [];
  const names = [...new Set(text.split(",").map((name) => name.trim().toLowerCase()))];
  if (names.length > MAX_NAMES)
    throw new Error(`names ${names.length} hosts; ${MAX_NAMES} at most`);
  for (const name of names) {
    const isHost = /^[a-z0-9]([a-z0-9-]*[a-z0-9])?(\.[a-z0-9]([a-z0-9-]*[a-z0-9])?)*$/.test(name);
    // A wildcard can only be proved in the DNS (RFC 8555 §8.3), an address by few authorities.
    if (!isHost || name.length > 253 || isIP(name)) throw new Error(`"${name}" is no host name`);
  }
  return names;
}
