import type { Readable } from "node:stream";
import type { FastifyReply, FastifyRequest } from "fastify";
import { Type } from "typebox";
import { AppError, LIMITS } from "../../kernel/index.ts";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import { pacedBody } from "../paced-body.ts";
import {
  answers,
  NoContent,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
} from "../schemas/common.ts";
import { UploadPage, UploadView } from "../schemas/firmware.ts";
import {
  assertTusVersion,
  readChecksum,
  readContentLength,
  readMetadata,
  readSize,
  TUS,
} from "../tus.ts";
import type { Api } from "../types.ts";

interface Upload {
  id: string;
  sizeBytes: number;
  offsetBytes: number;
  sha256: string | null;
  expiresAt: Date;
}

interface Append {
  offset: number;
  content: AsyncIterable<Uint8Array>;
  checksum?: { algorithm: "sha1" | "sha256"; digest: Buffer } | undefined;
  sizeBytes?: number | undefined;
}

export interface UploadsDeps {
  firmware: {
    uploads: {
      create(
        tenantId: string,
        upload: {
          sizeBytes: number;
          metadata: string;
          name: string;
          expectedSha256: string | null;
        },
        actor: Actor,
      ): Promise<Upload>;
      get(tenantId: string, id: string): Promise<Upload & { metadata: string }>;
      list(
        tenantId: string,
        options: { cursor?: string | undefined; limit?: number | undefined },
      ): Promise<ModulePage<Upload>>;
      append(tenantId: string, id: string, options: Append, actor: Actor): Promise<Upload>;
      terminate(tenantId: string, id: string, actor: Actor): Promise<void>;
    };
  };
}

const tags = ["uploads"];
// No UUID by its schema: whatever is no upload here is 404 (or 412) and never 400.
const UploadParams = strict({ tenant: TenantId, upload: Type.String({ maxLength: 64 }) });
const PERMISSION = "firmware.publish" as const;

const tusHeader = { "tus-resumable": Type.Optional(Type.Literal(TUS.version)) };
const textHeader = (description: string) => Type.Optional(Type.String({ description }));
const contentHeaders = {
  ...tusHeader,
  "upload-checksum": textHeader("`sha256 ` and the digest of this body in base64"),
};

/** Resumable uploads of images, by the tus protocol (tus.io), version 1.0.0. */
export function uploadRoutes(api: Api, deps: UploadsDeps): void {
  api.addContentTypeParser(TUS.contentType, (_request, payload, done) => done(null, payload));
  collectionRoutes(api, deps);
  contentRoutes(api, deps);
  lookingRoutes(api, deps);
}

function collectionRoutes(api: Api, { firmware }: UploadsDeps): void {
  api.route({
    method: "OPTIONS",
    url: "/tenants/:tenant/uploads",
    config: { access: PERMISSION },
    schema: {
      operationId: "describeUploads",
      tags,
      summary: "What this server speaks of tus",
      params: TenantParams,
      response: answers(204, NoContent),
    },
    handler: async (_request, reply) =>
      reply
        .code(204)
        .headers({
          "tus-resumable": TUS.version,
          "tus-version": TUS.version,
          "tus-extension": TUS.extensions,
          "tus-checksum-algorithm": TUS.checksums,
          "tus-max-size": LIMITS.imageBytes,
        })
        .send(),
  });

  api.post(
    "/tenants/:tenant/uploads",
    {
      config: { access: PERMISSION, action: "upload.create", keepsNoAnswer: true },
      onRequest: speakTus,
      schema: {
        operationId: "createUpload",
        tags,
        summary: "Begins an upload (tus), with its first bytes where there is a body",
        consumes: [TUS.contentType],
        params: TenantParams,
        headers: Type.Object({
          ...contentHeaders,
          "upload-length": textHeader("size of the whole in bytes"),
          "upload-metadata": textHeader("`filename` and `sha256`, each with its base64"),
        }),
        response: answers(201, UploadView),
      },
    },
    async (request, reply) => {
      const tenantId = tenantOf(request);
      const { headers } = request;
      const checksum = readChecksum(headers);
      const { text, name, sha256 } = readMetadata(headers);
      const asked = { sizeBytes: readSize(headers, "upload-length"), metadata: text, name };
      const content = contentOf(request);
      const created = await firmware.uploads.create(
        tenantId,
        { ...asked, expectedSha256: sha256 },
        actorOf(request),
      );
      request.auditTargetId = created.id;
      let upload = created;
      if (content) {
        const sizeBytes = readContentLength(headers);
        try {
          const append = { offset: 0, content, checksum, sizeBytes };
          upload = await firmware.uploads.append(tenantId, created.id, append, actorOf(request));
        } catch (error) {
          // Its sender never hears where it is.
          await firmware.uploads.terminate(tenantId, created.id, actorOf(request)).catch(() => {});
          throw error;
        }
      }
      reply.header("location", `/api/v1/tenants/${tenantId}/uploads/${upload.id}`);
      return describe(reply, upload).code(201).send(upload);
    },
  );
}

function contentRoutes(api: Api, { firmware }: UploadsDeps): void {
  api.patch(
    "/tenants/:tenant/uploads/:upload",
    {
      config: { access: PERMISSION, action: "upload.append" },
      onRequest: speakTus,
      schema: {
        operationId: "appendToUpload",
        tags,
        summary: "Sends the next bytes of an upload (tus)",
        consumes: [TUS.contentType],
        params: UploadParams,
        headers: Type.Object({
          ...contentHeaders,
          "upload-offset": textHeader("where the body begins"),
        }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      const { headers } = request;
      const content = contentOf(request);
      if (!content) {
        throw new AppError("unsupported-media-type", `send the bytes as ${TUS.contentType}`);
      }
      const upload = await firmware.uploads.append(
        tenantOf(request),
        request.params.upload,
        {
          offset: readSize(headers, "upload-offset"),
          content,
          checksum: readChecksum(headers),
          sizeBytes: readContentLength(headers),
        },
        actorOf(request),
      );
      return describe(reply, upload).code(204).send();
    },
  );

  api.delete(
    "/tenants/:tenant/uploads/:upload",
    {
      config: { access: PERMISSION, action: "upload.terminate" },
      onRequest: speakTus,
      schema: {
        operationId: "terminateUpload",
        tags,
        summary: "Ends an upload and forgets its bytes (tus)",
        params: UploadParams,
        headers: Type.Object(tusHeader),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await firmware.uploads.terminate(tenantOf(request), request.params.upload, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function lookingRoutes(api: Api, { firmware }: UploadsDeps): void {
  api.head(
    "/tenants/:tenant/uploads/:upload",
    {
      config: { access: PERMISSION },
      onRequest: speakTus,
      schema: {
        operationId: "standOfUpload",
        tags,
        summary: "Where an upload stands (tus)",
        params: UploadParams,
        headers: Type.Object(tusHeader),
        response: answers(200, NoContent),
      },
    },
    async (request, reply) => {
      const upload = await firmware.uploads.get(tenantOf(request), request.params.upload);
      if (upload.metadata !== "") reply.header("upload-metadata", upload.metadata);
      return describe(reply, upload).header("upload-length", upload.sizeBytes).code(200).send();
    },
  );

  api.get(
    "/tenants/:tenant/uploads/:upload",
    {
      config: { access: PERMISSION },
      exposeHeadRoute: false,
      schema: {
        operationId: "getUpload",
        tags,
        params: UploadParams,
        response: answers(200, UploadView),
      },
    },
    async (request) => {
      const { metadata: _, ...upload } = await firmware.uploads.get(
        tenantOf(request),
        request.params.upload,
      );
      return upload;
    },
  );

  api.get(
    "/tenants/:tenant/uploads",
    {
      config: { access: PERMISSION },
      schema: {
        operationId: "listUploads",
        tags,
        summary: "Uploads that have been published are not among them",
        params: TenantParams,
        querystring: strict(PageQuery),
        response: answers(200, UploadPage),
      },
    },
    async (request) => {
      const { limit, cursor } = request.query;
      const options = { limit, cursor: decodeCursor("uploads", cursor) };
      return wrapPage("uploads", await firmware.uploads.list(tenantOf(request), options));
    },
  );
}

/** tus 1.0 §tus-resumable: in every answer; and every request says its version. */
async function speakTus(request: FastifyRequest, reply: FastifyReply): Promise<void> {
  reply.headers({ "tus-resumable": TUS.version, "tus-version": TUS.version });
  assertTusVersion(request.headers);
}

function describe(reply: FastifyReply, upload: Upload): FastifyReply {
  reply.headers({
    "upload-offset": upload.offsetBytes,
    "upload-expires": upload.expiresAt.toUTCString(),
  });
  return upload.sha256 === null ? reply : reply.header("vautn-sha256", upload.sha256);
}

function contentOf(request: FastifyRequest): AsyncIterable<Uint8Array> | undefined {
  const body = request.body as Readable | null | undefined;
  return typeof body?.pipe === "function" ? pacedBody(body) : undefined;
}
