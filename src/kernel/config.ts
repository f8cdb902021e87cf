import path from "node:path";
import { ACME_SETTINGS, type AcmeConfig, acmeProblems } from "./acme-settings.ts";
import { parseMailServer } from "./mail-server.ts";
import { parseTokenUri } from "./pkcs11-uri.ts";
import {
  file,
  integer,
  networks,
  numbers,
  oneOf,
  port,
  type Setting,
  url,
  webOrigin,
  webOrigins,
} from "./setting-parsers.ts";

export const ROLES = ["gateway", "device-http", "api", "worker"] as const;
export type Role = (typeof ROLES)[number];

/** The effective configuration: read once, frozen, handed down. */
export interface Config extends AcmeConfig {
  dataDirectory: string;
  roles: readonly Role[];
  /** Address that every listener binds to. */
  bindAddress: string;
  apiPort: number;
  deviceHttpPort: number;
  mqttPort: number;
  /** Host name that devices and people reach this installation by. */
  publicHost: string;
  /** Origin that people reach the console by; taken from the request where absent. */
  publicOrigin: string | undefined;
  /** Origins of OpenID issuers that may lie at private addresses and speak plain HTTP. */
  privateIssuers: readonly string[];
  /** Networks that are not public and that webhooks, syslog and mail servers of tenants may lie in. */
  privateReceivers: readonly string[];
  trustDomain: string;
  logLevel: string;
  databaseUrl: string | undefined;
  clickhouseUrl: string | undefined;
  /** An S3-compatible store for blobs; never with credentials in it. */
  blobUrl: string | undefined;
  /** Whether gateways keep what they acknowledge in a journal before the time-series store. */
  journal: "auto" | "on" | "off";
  natsUrl: string | undefined;
  nodeName: string | undefined;
  /** The mail server for alerts; with its password where it wants one. */
  smtpUrl: string | undefined;
  smtpFrom: string | undefined;
  masterKey: string | undefined;
  replacedMasterKeys: string | undefined;
  /** Certificate of the root that the first start takes instead of making one. */
  rootFile: string | undefined;
  /** Where that root's key lies; offline where absent. */
  rootKey: string | undefined;
  pkcs11Module: string | undefined;
  pkcs11PinFile: string | undefined;
  pkcs11Pin: string | undefined;
  tlsCertificateFile: string | undefined;
  tlsKeyFile: string | undefined;
  /** Whether the console and the API are served over TLS, with the server's certificate. */
  apiTls: boolean;
  /** Gateway processes on this machine. */
  gatewayProcesses: number;
  /** Downloads at once in one process, and their bytes a second; 0 is no limit. */
  downloads: number;
  downloadBytesPerSecond: number;
  /** Limits of the gateway that differ from its defaults, by name. */
  gatewayLimits: Readonly<Record<string, number>>;
  /** For `--roles=cache` alone. */
  upstreamUrl: string | undefined;
  cacheIdentity: string | undefined;
  cacheBytes: number;
}

/** Name in `Config` -> where it comes from. `vautn config` prints this table. */
export const SETTINGS: { [Name in keyof Config]: Setting } = {
  dataDirectory: {
    variable: "VAUTN_DATA",
    describe: "folder of all that is kept (default ./data)",
    parse: (text) => path.resolve(text ?? "./data"),
  },
  roles: {
    variable: "VAUTN_ROLES",
    describe: `comma-separated: ${ROLES.join(", ")} (default all)`,
    parse: parseRoles,
  },
  bindAddress: {
    variable: "VAUTN_BIND",
    describe: "address to listen on (default 127.0.0.1)",
    parse: (text) => text ?? "127.0.0.1",
  },
  apiPort: port("VAUTN_API_PORT", "console and operators' API", 8080),
  deviceHttpPort: port("VAUTN_DEVICE_HTTP_PORT", "devices' HTTPS", 8443),
  mqttPort: port("VAUTN_MQTT_PORT", "MQTT over mutual TLS", 8883),
  publicHost: {
    variable: "VAUTN_PUBLIC_HOST",
    describe: "host name that devices and people use (default localhost)",
    parse: (text) => text ?? "localhost",
  },
  publicOrigin: {
    variable: "VAUTN_PUBLIC_URL",
    describe: "URL that people reach the console by, behind a proxy (default: as they asked)",
    parse: (text) => (text === undefined ? undefined : webOrigin(text)),
  },
  privateIssuers: {
    variable: "VAUTN_PRIVATE_ISSUERS",
    describe: "comma-separated URLs of OpenID issuers that may lie at private addresses",
    parse: webOrigins,
  },
  privateReceivers: {
    variable: "VAUTN_PRIVATE_RECEIVERS",
    describe: "comma-separated private networks that tenants' webhooks and syslog may lead to",
    parse: networks,
  },
  trustDomain: {
    variable: "VAUTN_TRUST_DOMAIN",
    describe: "trust domain of device identities (default devices.vautn.internal)",
    parse: (text) => text ?? "devices.vautn.internal",
  },
  logLevel: {
    variable: "VAUTN_LOG_LEVEL",
    describe: "trace, debug, info, warn or error (default info)",
    parse: (text) => oneOf(text ?? "info", ["trace", "debug", "info", "warn", "error", "fatal"]),
  },
  databaseUrl: url("DATABASE_URL", "PostgreSQL to use instead of the embedded one", [
    "postgres:",
    "postgresql:",
  ]),
  clickhouseUrl: url("CLICKHOUSE_URL", "ClickHouse to use instead of the embedded one", [
    "http:",
    "https:",
  ]),
  blobUrl: {
    variable: "BLOB_URL",
    describe:
      "s3://bucket/prefix?endpoint=…&region=…&pathStyle=true&encryption=AES256&redirect=true; keys by AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    parse: parseBlobUrl,
  },
  journal: {
    variable: "VAUTN_JOURNAL",
    describe:
      "ingest journal before ClickHouse: on, off or auto (default: where the engine is embedded)",
    parse: (text) => oneOf(text ?? "auto", ["auto", "on", "off"]),
  },
  natsUrl: url("NATS_URL", "NATS server between the machines of one installation", [
    "nats:",
    "tls:",
  ]),
  nodeName: {
    variable: "VAUTN_NODE",
    describe: "this machine's name among those of one installation (default: its host name)",
    parse: (text) => {
      if (text !== undefined && !/^[A-Za-z0-9][A-Za-z0-9.-]{0,62}$/.test(text)) {
        throw new Error("needs up to 63 letters, digits, dots and hyphens");
      }
      return text;
    },
  },
  smtpUrl: {
    variable: "VAUTN_SMTP_URL",
    describe: "mail server for alerts: smtps://user:password@host:port (smtp:// takes STARTTLS)",
    parse(text) {
      if (text !== undefined) parseMailServer(text, undefined);
      return text;
    },
  },
  smtpFrom: {
    variable: "VAUTN_SMTP_FROM",
    describe: "sender's address of alerts by e-mail (default vautn@<the mail server>)",
    parse(text) {
      if (text !== undefined && !/^[^\s@<>]+@[A-Za-z0-9.-]+$/.test(text)) {
        throw new Error("is no e-mail address");
      }
      return text;
    },
  },
  masterKey: {
    variable: "VAUTN_MASTER_KEY",
    describe: "64 hex digits that seal keys at rest (default: <data>/master.key)",
    secret: true,
    parse: (text) => {
      if (text !== undefined && !/^[0-9a-f]{64}$/i.test(text))
        throw new Error("needs 64 hex digits");
      return text;
    },
  },
  replacedMasterKeys: {
    variable: "VAUTN_REPLACED_MASTER_KEYS",
    describe:
      "master keys of before, the last one first, separated by commas: still open what they sealed",
    secret: true,
    parse: (text) => {
      if (text !== undefined && !/^[0-9a-f]{64}(\s*,\s*[0-9a-f]{64}){0,9}$/i.test(text))
        throw new Error("needs up to ten keys of 64 hex digits, separated by commas");
      return text;
    },
  },
  rootFile: file(
    "VAUTN_ROOT",
    "certificate of a root that was made elsewhere (vautn pki init); taken at the first start",
  ),
  rootKey: {
    variable: "VAUTN_ROOT_KEY",
    describe: "the root's key in a token, pkcs11:token=...;object=... (default: it is offline)",
    parse: (text) => {
      if (text !== undefined) parseTokenUri(text);
      return text;
    },
  },
  pkcs11Module: file("VAUTN_PKCS11_MODULE", "PKCS#11 library of the token that holds keys"),
  pkcs11PinFile: file("VAUTN_PKCS11_PIN_FILE", "file with the token's PIN"),
  pkcs11Pin: {
    variable: "VAUTN_PKCS11_PIN",
    describe: "the token's PIN, where no file can hold it",
    secret: true,
    parse: (text) => text,
  },
  tlsCertificateFile: file(
    "VAUTN_TLS_CERTIFICATE",
    "server certificate with its chain, in PEM, for MQTT and HTTPS (default: from our own CA)",
  ),
  tlsKeyFile: file("VAUTN_TLS_KEY", "key of that certificate"),
  apiTls: {
    variable: "VAUTN_API_TLS",
    describe:
      "serve console and API over TLS: on or off (default off; on where ACME is for the api)",
    parse: (text) => text !== undefined && oneOf(text, ["on", "off"]) === "on",
  },
  ...ACME_SETTINGS,
  gatewayProcesses: {
    variable: "VAUTN_GATEWAY_PROCESSES",
    describe: "gateway processes on this machine (default 1)",
    parse: (text) => integer(text ?? "1", 1, 64),
  },
  downloads: {
    variable: "VAUTN_DOWNLOADS",
    describe: "downloads of devices at once (default 2000)",
    parse: (text) => integer(text ?? "2000", 1, 1_000_000),
  },
  downloadBytesPerSecond: {
    variable: "VAUTN_DOWNLOAD_BYTES_PER_SECOND",
    describe: "bytes a second of all downloads together (default 0: no limit)",
    parse: (text) => integer(text ?? "0", 0, 1_000_000_000_000),
  },
  gatewayLimits: {
    variable: "VAUTN_GATEWAY_LIMITS",
    describe: "limits of each gateway process, name=number,... (names: docs/mqtt-limits.md)",
    parse: numbers,
  },
  upstreamUrl: url("VAUTN_UPSTREAM", "devices' HTTPS of the platform that a site cache serves", [
    "https:",
  ]),
  cacheIdentity: file(
    "VAUTN_CACHE_IDENTITY",
    "folder with the cache's identity, as vautn device enroll writes it (default <data>/identity)",
  ),
  cacheBytes: {
    variable: "VAUTN_CACHE_BYTES",
    describe: "what a site cache may take of its disk (default 20 GiB)",
    parse: (text) => integer(text ?? String(20 * 1024 ** 3), 1024 ** 2, 2 ** 50),
  },
};

/** Reads every setting; all problems are named in one error. */
export function readConfig(environment: NodeJS.ProcessEnv): Readonly<Config> {
  const problems: string[] = [];
  const config: Record<string, unknown> = {};
  for (const [name, setting] of Object.entries(SETTINGS)) {
    try {
      config[name] = setting.parse(environment[setting.variable] || undefined);
    } catch (error) {
      problems.push(`${setting.variable}: ${(error as Error).message}`);
    }
  }
  if (Boolean(config.tlsCertificateFile) !== Boolean(config.tlsKeyFile)) {
    problems.push("VAUTN_TLS_CERTIFICATE, VAUTN_TLS_KEY: neither is of use without the other");
  }
  if (config.rootKey && !(config.rootFile && config.pkcs11Module)) {
    problems.push("VAUTN_ROOT_KEY: needs VAUTN_ROOT and VAUTN_PKCS11_MODULE too");
  }
  problems.push(...clusterProblems(config as Partial<Config>));
  problems.push(...acmeProblems(config as Partial<AcmeConfig>));
  if (problems.length > 0)
    throw new Error(`the configuration is not valid\n  ${problems.join("\n  ")}`);
  return Object.freeze(config as unknown as Config);
}

/** Machines that hear of each other look into the same stores. */
function clusterProblems(config: Partial<Config>): string[] {
  if (!config.natsUrl) return [];
  const servesImages = config.roles?.some((role) => role !== "gateway");
  const missing = [
    ...(config.databaseUrl ? [] : ["DATABASE_URL"]),
    ...(config.clickhouseUrl ? [] : ["CLICKHOUSE_URL"]),
    ...(config.blobUrl || !servesImages ? [] : ["BLOB_URL"]),
  ];
  if (missing.length === 0) return [];
  return [
    `NATS_URL: needs ${missing.join(", ")} too: machines of one installation share their stores`,
  ];
}

/** By ACME a certificate comes that browsers know: console and API are served with it. */
export function servesApiByTls({ apiTls, acmeDirectory, acmeListeners }: Config): boolean {
  return apiTls || (acmeDirectory !== undefined && acmeListeners.includes("api"));
}

/** Where the console and the API are on this machine's own port, without a proxy. */
export function ownConsoleUrl(config: Config): string {
  return `${servesApiByTls(config) ? "https" : "http"}://${config.publicHost}:${config.apiPort}`;
}

/** The effective values with secrets masked, passwords inside URLs included. */
export function describeConfig(config: Config): Record<string, unknown> {
  return Object.fromEntries(
    Object.entries(SETTINGS).map(([name, setting]) => {
      const value = config[name as keyof Config];
      if (value !== undefined && setting.secret) return [setting.variable, "[secret]"];
      if (typeof value === "object" && !Array.isArray(value)) {
        const pairs = Object.entries(value).map(([key, number]) => `${key}=${number}`);
        return [setting.variable, pairs.join(",") || null];
      }
      if (typeof value === "string" && /^[a-z]+:\/\//.test(value)) {
        const masked = value
          .replace(/\/\/([^:@/]*):[^@/]*@/, "//$1:[secret]@")
          // A user alone may be a token.
          .replace(/\/\/[^:@/]+@/, "//[secret]@");
        return [setting.variable, masked];
      }
      return [setting.variable, value ?? null];
    }),
  );
}

function parseBlobUrl(text: string | undefined): string | undefined {
  if (text === undefined) return undefined;
  if (!URL.canParse(text) || new URL(text).protocol !== "s3:") {
    throw new Error("needs a URL that starts with s3:");
  }
  const { username, password } = new URL(text);
  if (username !== "" || password !== "") {
    throw new Error("takes no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  return text;
}

function parseRoles(text: string | undefined): readonly Role[] {
  if (text === undefined) return ROLES;
  const roles = text.split(",").map((role) => role.trim());
  if (roles.includes("cache") && roles.length > 1) throw new Error("cache goes with no other role");
  return roles.map((role) => oneOf(role, ROLES));
}
