import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../kernel/index.ts";
import type { DeviceHttpDeps } from "./deps.ts";
import type { DeviceServer } from "./server.ts";

/** Lists that are on their way at once: the large ones have megabytes, and anybody may ask. */
const MAX_DOWNLOADS = 64;
const RETRY_SECONDS = 10;
const LIST_MAX_AGE_SECONDS = 60;
/** RFC 6960 §4.1.1 with room for a few certificates and a nonce; more is no request of anybody. */
const MAX_REQUEST_BYTES = 8 * 1024;
const LIST_FILE = /^([0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12})(-delta)?\.crl$/;

/**
 * What anybody may know of revocations: lists of each authority at `/crl/<authority>.crl` and
 * `/crl/<authority>-delta.crl` (RFC 5280), answers about single certificates at `/ocsp` (RFC 6960).
 */
export function revocationRoutes(server: DeviceServer, { identity }: DeviceHttpDeps): void {
  let downloads = 0;

  server.route<{ Params: { file: string } }>({
    method: ["GET", "HEAD"],
    url: "/crl/:file",
    async handler(request, reply) {
      const [, id, delta] = LIST_FILE.exec(request.params.file) ?? [];
      const list = id && (await identity.revocationList(id, delta ? "delta" : "full"));
      if (!list) throw new AppError("not-found", "there is no such list");
      const etag = `"${list.sha256}"`;
      // HTTP dates have whole seconds; so have the times of a list.
      reply
        .header("etag", etag)
        .header("last-modified", list.thisUpdate.toUTCString())
        .header("cache-control", `public, max-age=${LIST_MAX_AGE_SECONDS}`);
      if (isUnchanged(request, etag, list.thisUpdate)) return reply.code(304).send();
      reply.type("application/pkix-crl").header("content-length", list.der.length);
      if (request.method === "HEAD") return reply.send();
      if (downloads >= MAX_DOWNLOADS) {
        throw new AppError("unavailable", "too many lists are being fetched", {
          retryAfterSeconds: RETRY_SECONDS,
        });
      }
      downloads += 1;
      reply.raw.once("close", () => {
        downloads -= 1;
      });
      return reply.send(list.der);
    },
  });

  server.register(async (scope) => ocspRoutes(scope as unknown as DeviceServer, identity));
}

function ocspRoutes(server: DeviceServer, identity: DeviceHttpDeps["identity"]): void {
  server.removeAllContentTypeParsers();
  server.addContentTypeParser(
    "application/ocsp-request",
    { parseAs: "buffer", bodyLimit: MAX_REQUEST_BYTES },
    (_request, body, done) => done(null, body),
  );
  server.post("/ocsp", async (request, reply) => {
    if (!(request.body instanceof Buffer)) {
      throw new AppError("unsupported-media-type", "an OCSP request has a type of its own");
    }
    return answer(identity, reply, request.body, false);
  });
  // RFC 6960 appendix A.1: the request in base64 is the rest of the path, escaped or not.
  server.get<{ Params: { "*": string } }>("/ocsp/*", async (request, reply) => {
    const der = Buffer.from(request.params["*"].slice(0, MAX_REQUEST_BYTES), "base64");
    return answer(identity, reply, der, true);
  });
}

async function answer(
  identity: DeviceHttpDeps["identity"],
  reply: FastifyReply,
  der: Buffer,
  mayCache: boolean,
): Promise<FastifyReply> {
  const response = await identity.ocsp(der);
  // RFC 5019 §6.2: caches keep answers to GET that hold no nonce.
  const age =
    mayCache && response.cacheable ? `public, max-age=${LIST_MAX_AGE_SECONDS}` : "no-store";
  return reply.type("application/ocsp-response").header("cache-control", age).send(response.der);
}

/** RFC 9110 §13.2.2: the date counts only where no tag is given. */
function isUnchanged({ headers }: FastifyRequest, etag: string, modified: Date): boolean {
  const tags = headers["if-none-match"];
  if (tags !== undefined) {
    return tags.split(",").some((tag) => ["*", etag, `W/${etag}`].includes(tag.trim()));
  }
  const since = Date.parse(headers["if-modified-since"] ?? "");
  return Math.floor(modified.getTime() / 1_000) * 1_000 <= since;
}
