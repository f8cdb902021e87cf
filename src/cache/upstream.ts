import { readFile } from "node:fs/promises";
import type { IncomingMessage } from "node:http";
import https from "node:https";
import path from "node:path";
import tls from "node:tls";

const ANSWER_WITHIN_MS = 30_000;
const SILENCE_MS = 60_000;
const MAX_TEXT_BYTES = 64 * 1024;

export interface UpstreamAnswer {
  status: number;
  /** Of the whole artifact, where the answer says so. */
  sizeBytes: number | undefined;
  /** Where the body begins. */
  offset: number;
  retryAfterSeconds: number | undefined;
  body: AsyncIterable<Uint8Array>;
  /** Ends an answer whose body is not wanted. */
  drop(): void;
}

/** The platform that a cache fetches from, by the identity of a device of its site's tenant. */
export interface Upstream {
  fetch(sha256: string, offset: number, signal: AbortSignal): Promise<UpstreamAnswer>;
  /** A small JSON document. */
  readJson(path: string): Promise<unknown>;
}

/** Key, certificate and root are read for each connection: to renew them, replace the files. */
export function createUpstream(options: { url: string; identity: string }): Upstream {
  async function open(
    target: string,
    headers: Record<string, string>,
    signal: AbortSignal,
    { elsewhere = false } = {},
  ): Promise<IncomingMessage> {
    const file = (name: string) => readFile(path.join(options.identity, name), "utf8");
    const [key, cert, ca] = await Promise.all(["key.pem", "certificate.pem", "root.pem"].map(file));
    return new Promise((resolve, reject) => {
      const request = https.request(new URL(target, options.url), {
        ...{ headers, signal, agent: false, rejectUnauthorized: true },
        // The store is shown no certificate of ours.
        ...(elsewhere ? { ca: [ca as string, ...tls.rootCertificates] } : { key, cert, ca }),
      });
      const timer = setTimeout(
        () => request.destroy(new Error("the platform did not answer in time")),
        ANSWER_WITHIN_MS,
      );
      request.setTimeout(SILENCE_MS, () =>
        request.destroy(new Error("the platform has fallen silent")),
      );
      request.once("response", (response) => {
        clearTimeout(timer);
        resolve(response);
      });
      request.once("error", (error) => {
        clearTimeout(timer);
        reject(error);
      });
      request.end();
    });
  }

  return {
    async fetch(sha256, offset, signal) {
      const headers: Record<string, string> =
        offset > 0 ? { range: `bytes=${offset}-`, "if-range": `"${sha256}"` } : {};
      let response = await open(`/artifacts/${sha256}`, headers, signal);
      const { location } = response.headers;
      if (response.statusCode === 307 && location) {
        response.destroy();
        // A store has validators of its own; the hash of the whole is what counts.
        const { "if-range": _, ...plain } = headers;
        response = await open(location, plain, signal, { elsewhere: true });
      }
      const range = /^bytes (\d+)-\d+\/(\d+)$/.exec(response.headers["content-range"] ?? "");
      const length = response.headers["content-length"];
      const retryAfter = response.headers["retry-after"] ?? "";
      return {
        status: response.statusCode ?? 0,
        sizeBytes: range ? Number(range[2]) : length ? Number(length) : undefined,
        offset: range ? Number(range[1]) : 0,
        retryAfterSeconds: /^\d{1,6}$/.test(retryAfter) ? Number(retryAfter) : undefined,
        body: response,
        drop: () => response.destroy(),
      };
    },

    async readJson(target) {
      const response = await open(target, {}, AbortSignal.timeout(ANSWER_WITHIN_MS));
      let text = "";
      for await (const chunk of response.setEncoding("utf8")) {
        text += chunk;
        if (text.length > MAX_TEXT_BYTES) throw new Error("the platform's answer is too large");
      }
      if (response.statusCode !== 200) {
        throw new Error(`the platform answered ${response.statusCode} to ${target}`);
      }
      return JSON.parse(text);
    },
  };
}
