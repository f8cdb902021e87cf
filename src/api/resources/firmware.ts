import type { Readable } from "node:stream";
import { Type } from "typebox";
import { AppError, LIMITS, messageOf } from "../../kernel/index.ts";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { decodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import { pacedBody } from "../paced-body.ts";
import {
  answers,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Uuid,
  Word,
} from "../schemas/common.ts";
import {
  ChannelName,
  DeltaList,
  ReleaseDetailView,
  ReleasePage,
  ReleaseView,
  UploadedReleaseBody,
  YankBody,
} from "../schemas/firmware.ts";
import type { Api } from "../types.ts";
import { assertReadable } from "../validation.ts";

type Channel = "dev" | "beta" | "stable";

interface Release {
  id: string;
  imageSha256: string;
}

export interface FirmwareDeps {
  firmware: {
    publish(
      tenantId: string,
      release: {
        envelope: unknown;
        image: AsyncIterable<Uint8Array> | { uploadId: string };
        notes: string | undefined;
        channel?: Channel | undefined;
        files?: readonly string[] | undefined;
      },
      actor: Actor,
    ): Promise<Release>;
    releases: {
      list(
        tenantId: string,
        options: {
          product?: string | undefined;
          channel?: Channel | undefined;
          status?: "published" | "yanked" | undefined;
          cursor?: string | undefined;
          limit?: number | undefined;
        },
      ): Promise<ModulePage<Release>>;
      get(tenantId: string, id: string): Promise<Release>;
      yank(tenantId: string, id: string, reason: string, actor: Actor): Promise<Release>;
      promote(tenantId: string, id: string, channel: Channel, actor: Actor): Promise<Release>;
    };
    deltas(tenantId: string, targetSha256: string): Promise<object[]>;
  };
  rollouts: {
    stopRelease(tenantId: string, id: string, actor: Actor, reason: string): Promise<number>;
  };
}

const tags = ["releases"];
const ReleaseParams = strict({ tenant: TenantId, release: Uuid });
const MAX_MANIFEST_TEXT = Math.ceil((LIMITS.manifestBytes * 4) / 3);

/** Firmware releases: a signed manifest and the image that it names. */
export function firmwareRoutes(api: Api, deps: FirmwareDeps): void {
  publishRoute(api, deps);
  promoteRoute(api, deps);
  publishUploadRoute(api, deps);
  releaseRoutes(api, deps);
}

function publishRoute(api: Api, { firmware }: FirmwareDeps): void {
  api.post(
    "/tenants/:tenant/releases",
    {
      config: { access: "firmware.publish", action: "release.publish" },
      schema: {
        operationId: "publishRelease",
        tags,
        summary: "Publishes an image (the body) with its signed manifest",
        consumes: ["application/octet-stream"],
        params: TenantParams,
        querystring: strict({
          manifest: Type.Optional(
            Type.String({ description: "Envelope of the manifest, base64url; or the header" }),
          ),
          notes: Type.Optional(Type.String({ maxLength: 4096 })),
          channel: Type.Optional(ChannelName),
        }),
        headers: Type.Object({
          "x-vautn-manifest": Type.Optional(
            Type.String({ description: "Envelope of the manifest, base64url" }),
          ),
        }),
        response: answers(201, ReleaseView),
      },
    },
    async (request, reply) => {
      const image = request.body as Readable | null;
      if (typeof image?.pipe !== "function") {
        throw new AppError("unsupported-media-type", "send the image as application/octet-stream");
      }
      const text = request.query.manifest ?? request.headers["x-vautn-manifest"];
      const { notes, channel } = request.query;
      const release = await firmware.publish(
        tenantOf(request),
        { envelope: readManifest(text), image: pacedBody(image), notes, channel },
        actorOf(request),
      );
      return reply.code(201).send(release);
    },
  );
}

function publishUploadRoute(api: Api, { firmware }: FirmwareDeps): void {
  api.post(
    "/tenants/:tenant/releases/from-upload",
    {
      config: { access: "firmware.publish", action: "release.publish" },
      schema: {
        operationId: "publishUploadedRelease",
        tags,
        summary: "Publishes the image of a complete upload with its signed manifest",
        params: TenantParams,
        body: UploadedReleaseBody,
        response: answers(201, ReleaseView),
      },
    },
    async (request, reply) => {
      const { upload, manifest, notes, channel, files } = request.body;
      const release = await firmware.publish(
        tenantOf(request),
        { envelope: manifest, image: { uploadId: upload }, notes, channel, files },
        actorOf(request),
      );
      return reply.code(201).send(release);
    },
  );
}

/** What the envelope holds is for the firmware module to judge; here it only has to be one. */
function readManifest(text: string | undefined): unknown {
  if (text === undefined) {
    throw new AppError(
      "invalid-request",
      "the manifest is missing: ?manifest= or X-Vautn-Manifest",
    );
  }
  if (text.length > MAX_MANIFEST_TEXT) {
    throw new AppError("payload-too-large", `a manifest has at most ${LIMITS.manifestBytes} bytes`);
  }
  try {
    const value: unknown = JSON.parse(Buffer.from(text, "base64url").toString("utf8"));
    assertReadable(value);
    if (typeof value !== "object" || value === null) throw new Error("it is no object");
    return value;
  } catch (error) {
    throw new AppError("manifest-invalid", `the manifest cannot be read: ${messageOf(error)}`);
  }
}

function promoteRoute(api: Api, { firmware }: FirmwareDeps): void {
  api.post(
    "/tenants/:tenant/releases/:release/promote",
    {
      config: { access: "firmware.publish", action: "release.promote" },
      schema: {
        operationId: "promoteRelease",
        tags,
        summary: "Moves a release to the next channel, towards stable",
        params: ReleaseParams,
        body: strict({ channel: ChannelName }),
        response: answers(200, ReleaseView),
      },
    },
    async (request) => {
      const { release } = request.params;
      const { channel } = request.body;
      return firmware.releases.promote(tenantOf(request), release, channel, actorOf(request));
    },
  );
}

function releaseRoutes(api: Api, { firmware, rollouts }: FirmwareDeps): void {
  api.get(
    "/tenants/:tenant/releases",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "listReleases",
        tags,
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          product: Type.Optional(Word),
          channel: Type.Optional(ChannelName),
          status: Type.Optional(Type.Enum(["published", "yanked"] as const)),
        }),
        response: answers(200, ReleasePage),
      },
    },
    async (request) => {
      const { cursor, ...filter } = request.query;
      const options = { ...filter, cursor: decodeCursor("releases", cursor) };
      return wrapPage("releases", await firmware.releases.list(tenantOf(request), options));
    },
  );

  api.get(
    "/tenants/:tenant/releases/:release",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "getRelease",
        tags,
        params: ReleaseParams,
        response: answers(200, ReleaseDetailView),
      },
    },
    async (request) => firmware.releases.get(tenantOf(request), request.params.release),
  );

  api.post(
    "/tenants/:tenant/releases/:release/yank",
    {
      config: { access: "firmware.publish", action: "release.yank" },
      schema: {
        operationId: "yankRelease",
        tags,
        summary: "Withdraws a release: devices refuse it, and rollouts of it are cancelled",
        params: ReleaseParams,
        body: YankBody,
        response: answers(200, ReleaseView),
      },
    },
    async (request) => {
      const { release } = request.params;
      const { reason } = request.body;
      const [tenantId, actor] = [tenantOf(request), actorOf(request)];
      const yanked = await firmware.releases.yank(tenantId, release, reason, actor);
      await rollouts.stopRelease(tenantId, release, actor, `the release was yanked: ${reason}`);
      return yanked;
    },
  );

  api.get(
    "/tenants/:tenant/releases/:release/deltas",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "listDeltas",
        tags,
        params: ReleaseParams,
        response: answers(200, DeltaList),
      },
    },
    async (request) => {
      const tenantId = tenantOf(request);
      const release = await firmware.releases.get(tenantId, request.params.release);
      return { items: await firmware.deltas(tenantId, release.imageSha256) };
    },
  );
}
