import type { Readable } from "node:stream";
import { Type } from "typebox";
import { tenantOf } from "../access.ts";
import { decodeCursor, type ModulePage, wrapPage } from "../cursor.ts";
import {
  answers,
  PageQuery,
  strict,
  TenantId,
  TenantParams,
  Uuid,
  Word,
} from "../schemas/common.ts";
import { ChannelName, ComponentPage } from "../schemas/firmware.ts";
import type { Api } from "../types.ts";

type Channel = "dev" | "beta" | "stable";

export interface ComponentsDeps {
  firmware: {
    components: {
      find(
        tenantId: string,
        search: {
          q?: string | undefined;
          releaseId?: string | undefined;
          product?: string | undefined;
          channel?: Channel | undefined;
          status?: "published" | "yanked" | undefined;
          cursor?: string | undefined;
          limit?: number | undefined;
        },
      ): Promise<ModulePage<object>>;
      document(
        tenantId: string,
        releaseId: string,
        role: "sbom" | "provenance",
      ): Promise<{ name: string; sizeBytes: number; read(): Promise<Readable> }>;
    };
  };
}

const tags = ["releases"];
const DOCUMENTS = ["sbom", "provenance"] as const;

/** What is inside releases, as their bills of materials say it. */
export function componentRoutes(api: Api, { firmware }: ComponentsDeps): void {
  api.get(
    "/tenants/:tenant/components",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "listComponents",
        tags,
        summary: "Components of releases by their bills of materials, e.g. openssl < 3.0.15",
        params: TenantParams,
        querystring: strict({
          ...PageQuery,
          q: Type.Optional(
            Type.String({
              maxLength: 512,
              description:
                "Name or package URL, `*` for anything, with bounds of the version parted by " +
                "commas: `openssl < 3.0.15`, `pkg:npm/lodash >= 4, < 4.17.21`, `lib*`. Components " +
                "without a version are within every bound but `=`.",
            }),
          ),
          release: Type.Optional(Uuid),
          product: Type.Optional(Word),
          channel: Type.Optional(ChannelName),
          status: Type.Optional(Type.Enum(["published", "yanked"] as const)),
        }),
        response: answers(200, ComponentPage),
      },
    },
    async (request) => {
      const { cursor, release, ...filter } = request.query;
      const search = { ...filter, releaseId: release, cursor: decodeCursor("components", cursor) };
      return wrapPage("components", await firmware.components.find(tenantOf(request), search));
    },
  );

  api.get(
    "/tenants/:tenant/releases/:release/documents/:role",
    {
      config: { access: "firmware.read" },
      schema: {
        operationId: "getReleaseDocument",
        tags,
        summary: "The bill of materials or the provenance of a release, as it was published",
        params: strict({ tenant: TenantId, release: Uuid, role: Type.Enum(DOCUMENTS) }),
        response: answers(200, Type.Unknown()),
      },
    },
    async (request, reply) => {
      const { release, role } = request.params;
      const document = await firmware.components.document(tenantOf(request), release, role);
      // RFC 6266: the name was bounded and has no separators, but may hold anything else.
      const name = encodeURIComponent(document.name);
      return reply
        .header("content-type", "application/json; charset=utf-8")
        .header("content-length", document.sizeBytes)
        .header("content-disposition", `attachment; filename*=UTF-8''${name}`)
        .send(await document.read());
    },
  );
}
