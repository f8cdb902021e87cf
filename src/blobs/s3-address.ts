/** Where blobs lie in an S3-compatible store, as `BLOB_URL` says it. */
export interface S3Address {
  bucket: string;
  /** Before every key; empty, or ends with a slash. */
  prefix: string;
  endpoint: string | undefined;
  region: string;
  /** `https://host/bucket` instead of `https://bucket.host`. */
  pathStyle: boolean;
  /** Encryption at rest by the store: `AES256`, or `aws:kms` with the key that is named. */
  encryption: "AES256" | "aws:kms" | undefined;
  kmsKeyId: string | undefined;
  /** Devices are sent to the store with a presigned URL, so that the platform carries no bytes. */
  redirect: boolean;
}

const PARAMETERS = ["endpoint", "region", "pathStyle", "encryption", "kmsKeyId", "redirect"];

/**
 * `s3://bucket/prefix?endpoint=https://…&region=…&pathStyle=true&encryption=AES256&redirect=true`.
 * Credentials come from where the AWS SDK looks for them (environment, files, the machine's role),
 * and never from here: this value is printed by `vautn config`.
 */
export function parseS3Address(text: string): S3Address {
  const url = new URL(text);
  if (url.protocol !== "s3:") throw new Error("needs a URL that starts with s3:");
  if (url.username !== "" || url.password !== "") {
    throw new Error("takes no credentials: set AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY");
  }
  const parameters = url.searchParams;
  const unknown = [...parameters.keys()].find((name) => !PARAMETERS.includes(name));
  if (unknown !== undefined) throw new Error(`knows no ${unknown}: ${PARAMETERS.join(", ")}`);
  const bucket = url.hostname;
  if (!/^[a-z0-9][a-z0-9.-]{1,61}[a-z0-9]$/.test(bucket))
    throw new Error("BLOB_URL names no bucket (3 to 63 of a-z, 0-9, dots and hyphens)");
  const path = url.pathname.replace(/^\/+|\/+$/g, "");
  const endpoint = parameters.get("endpoint") ?? undefined;
  if (endpoint !== undefined && !/^https?:$/.test(new URL(endpoint).protocol)) {
    throw new Error("needs an endpoint that starts with https: or http:");
  }
  const encryption = parameters.get("encryption") ?? undefined;
  if (encryption !== undefined && encryption !== "AES256" && encryption !== "aws:kms") {
    throw new Error("knows the encryptions AES256 and aws:kms");
  }
  return {
    bucket,
    prefix: path === "" ? "" : `${path}/`,
    endpoint,
    region: parameters.get("region") ?? "us-east-1",
    pathStyle: isTrue(parameters.get("pathStyle")),
    encryption,
    kmsKeyId: parameters.get("kmsKeyId") ?? undefined,
    redirect: isTrue(parameters.get("redirect")),
  };
}

function isTrue(text: string | null): boolean {
  if (text !== null && text !== "true" && text !== "false") throw new Error("takes true or false");
  return text === "true";
}
