import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import type { DeviceHttpDeps, DeviceHttpLimits, DevicePeer } from "./deps.ts";
import { authenticate } from "./peer.ts";
import { decideRange, matchesAny } from "./range.ts";
import type { DeviceServer } from "./server.ts";

const bytesSent = counter("vautn_artifact_bytes_total", "Bytes of artifacts sent to devices", [
  "tenant",
]);
const downloads = counter("vautn_artifact_requests_total", "Requests for artifacts", ["status"]);

/** The name is the hash of the content, so that it never goes stale; the tenant's eyes only. */
const CACHE_CONTROL = "private, max-age=31536000, immutable";

/** Images and patches, for devices of the tenant that has them; the certificate says which. */
export function artifactRoutes(
  server: DeviceServer,
  deps: DeviceHttpDeps,
  limits: DeviceHttpLimits,
): void {
  const underWay = new Map<string, number>();

  /** Counts the download against the device until its answer has ended, however it ends. */
  function begin(peer: DevicePeer, reply: FastifyReply): void {
    const device = `${peer.tenantId}/${peer.deviceId}`;
    const count = underWay.get(device) ?? 0;
    if (count >= limits.downloadsPerDevice) {
      throw new AppError("rate-limited", "the device has too many downloads at once", {
        retryAfterSeconds: 5,
      });
    }
    underWay.set(device, count + 1);
    reply.raw.once("close", () => {
      const left = (underWay.get(device) ?? 1) - 1;
      if (left === 0) underWay.delete(device);
      else underWay.set(device, left);
    });
  }

  server.route<{ Params: { sha256: string } }>({
    method: ["GET", "HEAD"],
    url: "/artifacts/:sha256",
    async handler(request, reply) {
      const peer = await authenticate(deps.identity, request);
      const { sha256 } = request.params;
      const artifact = await deps.firmware.openArtifact(peer.tenantId, sha256);
      begin(peer, reply);
      const etag = `"${sha256}"`;
      reply.headers({
        etag,
        "accept-ranges": "bytes",
        "cache-control": CACHE_CONTROL,
        "content-type": "application/octet-stream",
        // RFC 9530: of the whole content, also where a part is sent.
        "repr-digest": `sha-256=:${Buffer.from(sha256, "hex").toString("base64")}:`,
      });
      if (matchesAny(request.headers["if-none-match"], etag)) return answer(reply, 304);
      const range = decideRange(rangeHeaders(request), artifact.sizeBytes, etag);
      if (range.kind === "unsatisfiable") {
        reply.header("content-range", `bytes */${artifact.sizeBytes}`);
        throw new AppError("range-not-satisfiable", "the range lies beyond the artifact", {
          sizeBytes: artifact.sizeBytes,
        });
      }
      const part = range.kind === "part" ? range : { start: 0, end: artifact.sizeBytes - 1 };
      if (range.kind === "part") {
        reply.header("content-range", `bytes ${part.start}-${part.end}/${artifact.sizeBytes}`);
      }
      reply.header("content-length", part.end - part.start + 1);
      const status = range.kind === "part" ? 206 : 200;
      if (request.method === "HEAD" || artifact.sizeBytes === 0) return answer(reply, status);
      const content = await artifact.read(part);
      content.once("close", () => bytesSent.inc({ tenant: peer.tenantId }, content.bytesRead));
      downloads.inc({ status });
      return reply.code(status).send(content);
    },
  });
}

/** RFC 9110 §14.2: a range means something for GET only. */
function rangeHeaders(request: FastifyRequest) {
  if (request.method !== "GET") return {};
  const ifRange = request.headers["if-range"];
  return {
    range: request.headers.range,
    ifRange: Array.isArray(ifRange) ? ifRange.join(",") : ifRange,
  };
}

function answer(reply: FastifyReply, status: number): FastifyReply {
  downloads.inc({ status });
  return reply.code(status).send();
}
