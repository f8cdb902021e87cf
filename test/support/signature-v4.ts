import { createHash, createHmac, timingSafeEqual } from "node:crypto";

const PRESIGNED = [
  "X-Amz-Algorithm",
  "X-Amz-Credential",
  "X-Amz-Date",
  "X-Amz-Expires",
  "X-Amz-SignedHeaders",
  "X-Amz-Signature",
];

export type Verdict = "valid" | "not presigned" | "another key" | "expired" | "wrong signature";

/**
 * Judges a presigned URL as a store does (AWS "Authenticating requests: using query parameters",
 * Signature Version 4), for a receiver that sends no headers but Host. Ours, and not the SDK's.
 */
export function judgePresigned(
  method: string,
  address: string,
  key: { id: string; secret: string },
  nowMs: number,
): Verdict {
  const url = new URL(address);
  const given = (name: string) => url.searchParams.get(name) ?? "";
  if (!PRESIGNED.every((name) => url.searchParams.has(name))) return "not presigned";
  if (given("X-Amz-Algorithm") !== "AWS4-HMAC-SHA256") return "not presigned";
  const [id = "", ...scope] = given("X-Amz-Credential").split("/");
  if (id !== key.id || scope.at(-1) !== "aws4_request") return "another key";
  const [day = "", region = "", service = ""] = scope;
  const stamp = given("X-Amz-Date");
  const signedAt = Date.parse(
    stamp.replace(/^(\d{4})(\d\d)(\d\d)T(\d\d)(\d\d)(\d\d)Z$/, "$1-$2-$3T$4:$5:$6Z"),
  );
  const ends = signedAt + Number(given("X-Amz-Expires")) * 1_000;
  if (!(nowMs >= signedAt - 900_000 && nowMs < ends)) return "expired";
  if (given("X-Amz-SignedHeaders") !== "host") return "wrong signature";

  const query = [...url.searchParams]
    .filter(([name]) => name !== "X-Amz-Signature")
    .map(([name, value]) => `${encode(name)}=${encode(value)}`)
    .sort()
    .join("&");
  const path = url.pathname
    .split("/")
    .map((part) => encode(decodeURIComponent(part)))
    .join("/");
  const request = [method, path, query, `host:${url.host}\n`, "host", "UNSIGNED-PAYLOAD"];
  const hash = createHash("sha256").update(request.join("\n")).digest("hex");
  const text = ["AWS4-HMAC-SHA256", stamp, scope.join("/"), hash].join("\n");
  const signing = [day, region, service, "aws4_request"].reduce<Buffer>(
    (secret, part) => hmac(secret, part),
    Buffer.from(`AWS4${key.secret}`),
  );
  const expected = hmac(signing, text);
  const actual = Buffer.from(given("X-Amz-Signature"), "hex");
  const same = actual.length === expected.length && timingSafeEqual(actual, expected);
  return same ? "valid" : "wrong signature";
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac("sha256", key).update(text).digest();
}

/** RFC 3986 §2.3: everything but unreserved characters. */
function encode(text: string): string {
  return encodeURIComponent(text).replace(
    /[!'()*]/g,
    (character) => `%${character.charCodeAt(0).toString(16).toUpperCase()}`,
  );
}
