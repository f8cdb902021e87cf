import { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { AppError } from "../kernel/index.ts";
import { counter } from "../kernel/metrics.ts";
import { systemRandom } from "../kernel/random.ts";
import { answerHeaders, type ContentAnswer, decideAnswer } from "./content-answer.ts";
import type { DeviceHttpDeps, DeviceHttpLimits } from "./deps.ts";
import { DownloadPace, type Ticket } from "./download-pace.ts";
import type { DownloadShares } from "./download-shares.ts";
import { authenticate } from "./peer.ts";
import type { DeviceServer } from "./server.ts";

const bytesSent = counter("vautn_artifact_bytes_total", "Bytes of artifacts sent to devices", [
  "tenant",
]);
const downloads = counter("vautn_artifact_requests_total", "Requests for artifacts", ["status"]);

const PACED_PART_BYTES = 32 * 1024;

/** Whom an artifact is sent to. */
interface Receiver {
  tenantId: string;
  /** Empty where a link names no device. */
  deviceId: string;
}

/** Images and patches, for devices of the tenant that has them: by certificate or by a signed URL. */
export function artifactRoutes(
  server: DeviceServer,
  deps: DeviceHttpDeps,
  limits: DeviceHttpLimits,
  shares?: DownloadShares,
): void {
  const underWay = new Map<string, number>();
  const pace = new DownloadPace(
    { clock: deps.clock, random: deps.random ?? systemRandom },
    limits.downloads,
    shares,
  );

  /** Lets the download in, or says when to come back. It leaves when its answer has ended. */
  async function begin(receiver: Receiver, reply: FastifyReply): Promise<Ticket> {
    const { tenantId, deviceId } = receiver;
    const [settings, rollout] = await Promise.all([
      deps.tenancy.settings(tenantId),
      deviceId === "" ? null : deps.rollouts?.downloadPace(tenantId, deviceId),
    ]);
    const device = `${tenantId}/${deviceId}`;
    const count = underWay.get(device) ?? 0;
    if (deviceId !== "" && count >= limits.downloadsPerDevice) {
      throw new AppError("rate-limited", "the device has too many downloads at once", {
        retryAfterSeconds: 5,
      });
    }
    underWay.set(device, count + 1);
    const leave = () => {
      const left = (underWay.get(device) ?? 1) - 1;
      if (left === 0) underWay.delete(device);
      else underWay.set(device, left);
    };
    const ticket = await pace
      .admit({
        tenantId,
        deviceId,
        tenant: {
          concurrent: settings.maxDownloads,
          bytesPerSecond: settings.downloadBytesPerSecond,
        },
        ...(rollout ? { rollout: { id: rollout.rolloutId, limits: rollout } } : {}),
      })
      .catch((error) => {
        leave();
        throw error;
      });
    deps.tenancy.usage?.count(tenantId, "downloads", pace.underWay(tenantId));
    const end = () => {
      ticket.leave();
      leave();
    };
    if (reply.raw.destroyed) end();
    else reply.raw.once("close", end);
    return ticket;
  }

  server.route<{ Params: { sha256: string } }>({
    method: ["GET", "HEAD"],
    url: "/artifacts/:sha256",
    async handler(request, reply) {
      const { sha256 } = request.params;
      const receiver = await receiverOf(deps, request, sha256);
      const artifact = await deps.firmware.openArtifact(receiver.tenantId, sha256);
      const decided = decideAnswer(request.headers, request.method, artifact);
      reply.headers(answerHeaders(artifact, decided));
      if (decided.status === 416) throw unsatisfiable(artifact.sizeBytes);
      if (!decided.part || request.method === "HEAD") {
        downloads.inc({ status: decided.status });
        return reply.code(decided.status).send();
      }
      const elsewhere = await artifact.redirectUrl();
      const ticket = await begin(receiver, reply);
      if (elsewhere !== undefined) return redirect(reply, elsewhere);
      const content = await artifact.read(decided.part);
      downloads.inc({ status: decided.status });
      return send(reply, decided, content, { ticket, tenantId: receiver.tenantId });
    },
  });

  // What site caches check signed URLs by, also while they cannot ask.
  server.get("/artifacts/link-keys", async (request, reply) => {
    await authenticate(deps.identity, request);
    return reply
      .header("cache-control", "no-store")
      .send({ keys: deps.firmware.links.publicKeys() });
  });
}

/** By its certificate; or, where the URL has a query, by what that is signed for and nothing else. */
async function receiverOf(
  deps: DeviceHttpDeps,
  request: FastifyRequest,
  sha256: string,
): Promise<Receiver> {
  const query = request.query as Record<string, unknown>;
  if (Object.keys(query).length === 0) return authenticate(deps.identity, request);
  const { tenantId, deviceId } = deps.firmware.links.check(sha256, query);
  return { tenantId, deviceId: deviceId ?? "" };
}

function send(
  reply: FastifyReply,
  { status }: ContentAnswer,
  content: Readable,
  { ticket, tenantId }: { ticket: Ticket; tenantId: string },
): FastifyReply {
  // A file is handed on as it is: each step in between costs as much as the encryption.
  if (!ticket.isPaced && isCounted(content)) {
    content.once("close", () => bytesSent.inc({ tenant: tenantId }, content.bytesRead));
    return reply.code(status).send(content);
  }
  let sent = 0;
  async function* counted(): AsyncGenerator<Uint8Array> {
    try {
      for await (const chunk of content) {
        for (const part of partsOf(chunk as Uint8Array)) {
          await ticket.take(part.length);
          sent += part.length;
          yield part;
        }
      }
    } finally {
      bytesSent.inc({ tenant: tenantId }, sent);
    }
  }
  return reply.code(status).send(Readable.from(counted(), { objectMode: false }));
}

/** So small that none takes longer than a device waits for a byte. */
function* partsOf(chunk: Uint8Array): Iterable<Uint8Array> {
  for (let at = 0; at < chunk.length; at += PACED_PART_BYTES) {
    yield chunk.subarray(at, at + PACED_PART_BYTES);
  }
}

/** Of files and kept blocks alike. */
function isCounted(content: Readable): content is Readable & { bytesRead: number } {
  return "bytesRead" in content;
}

/** RFC 9110 §15.4.8: with the same method, and with its Range. The URL is as good as the artifact. */
function redirect(reply: FastifyReply, url: string): FastifyReply {
  for (const name of Object.keys(reply.getHeaders())) reply.removeHeader(name);
  downloads.inc({ status: 307 });
  return reply.code(307).headers({ location: url, "cache-control": "no-store" }).send();
}

function unsatisfiable(sizeBytes: number): AppError {
  return new AppError("range-not-satisfiable", "the range lies beyond the artifact", { sizeBytes });
}
