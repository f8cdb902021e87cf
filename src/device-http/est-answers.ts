import { randomBytes } from "node:crypto";
import type { FastifyReply } from "fastify";
import { certsOnlyPkcs7 } from "../identity/index.ts";

const BASE64_LINE = /.{1,76}/g;
const CERTIFICATES = "application/pkcs7-mime; smime-type=certs-only";

/** RFC 7030 §4.1.3: the authorities' certificates. */
export function sendAuthorities(reply: FastifyReply, chain: readonly string[]): FastifyReply {
  return sendBase64(reply, "application/pkcs7-mime", certsOnlyPkcs7(chain));
}

/** RFC 7030 §4.2.3: the certificate that was issued and no other. */
export function sendCertificate(reply: FastifyReply, certificatePem: string): FastifyReply {
  return sendBase64(reply, CERTIFICATES, certsOnlyPkcs7([certificatePem]));
}

export function sendBase64(reply: FastifyReply, type: string, der: Buffer): FastifyReply {
  reply.header("content-type", type);
  reply.header("content-transfer-encoding", "base64");
  return reply.send(base64Lines(der));
}

const SEALED_KEY = "application/pkcs7-mime; smime-type=server-generated-key";

/** RFC 7030 §4.4.2: the key that was made for the device, and its certificate. */
export function sendKeyAndCertificate(
  reply: FastifyReply,
  privateKey: { der: Buffer; isEncrypted: boolean },
  certificatePem: string,
): FastifyReply {
  const boundary = `est-${randomBytes(12).toString("hex")}`;
  const parts = [
    [privateKey.isEncrypted ? SEALED_KEY : "application/pkcs8", base64Lines(privateKey.der)],
    [CERTIFICATES, base64Lines(certsOnlyPkcs7([certificatePem]))],
  ].map(
    ([type, body]) =>
      `--${boundary}\r\nContent-Type: ${type}\r\nContent-Transfer-Encoding: base64\r\n\r\n${body}`,
  );
  // RFC 9111 §5.2.2.5: nothing on the way may keep a key.
  reply.header("cache-control", "no-store");
  reply.header("content-type", `multipart/mixed; boundary=${boundary}`);
  return reply.send(`${parts.join("")}--${boundary}--\r\n`);
}

/** RFC 8951 §3.1 allows line breaks; many clients decode with tools that need them. */
function base64Lines(bytes: Buffer): string {
  return `${bytes.toString("base64").match(BASE64_LINE)?.join("\r\n") ?? ""}\r\n`;
}
