import { Type } from "typebox";
import type { Actor } from "../../tenancy/index.ts";
import { actorOf, tenantOf } from "../access.ts";
import { answers, DeviceId, Sha256, strict, TenantId } from "../schemas/common.ts";
import { ArtifactLinkView } from "../schemas/firmware.ts";
import type { Api } from "../types.ts";

export interface ArtifactsDeps {
  firmware: {
    links: {
      create(
        tenantId: string,
        link: { sha256: string; deviceId: string | null; validSeconds: number },
        actor: Actor,
      ): Promise<{ path: string; expiresAt: Date }>;
    };
  };
  deviceConnection: { httpsUrl: string };
}

const DEFAULT_SECONDS = 900;
const MAX_SECONDS = 7 * 86_400;

/** URLs by which something without a certificate fetches one artifact. */
export function artifactLinkRoutes(api: Api, { firmware, deviceConnection }: ArtifactsDeps): void {
  api.post(
    "/tenants/:tenant/artifacts/:artifact/links",
    {
      config: { access: "firmware.publish", action: "artifact.link", answersSecret: true },
      schema: {
        operationId: "createArtifactLink",
        tags: ["releases"],
        summary: "Signs a URL by which whoever holds it fetches this artifact, for a while",
        params: strict({ tenant: TenantId, artifact: Sha256 }),
        body: strict({
          device: Type.Optional(DeviceId),
          validSeconds: Type.Optional(
            Type.Integer({ minimum: 1, maximum: MAX_SECONDS, default: DEFAULT_SECONDS }),
          ),
        }),
        response: answers(201, ArtifactLinkView),
      },
    },
    async (request, reply) => {
      const { device = null, validSeconds = DEFAULT_SECONDS } = request.body;
      const { artifact: sha256 } = request.params;
      const link = { sha256, deviceId: device, validSeconds };
      const made = await firmware.links.create(tenantOf(request), link, actorOf(request));
      return reply
        .code(201)
        .send({ url: `${deviceConnection.httpsUrl}${made.path}`, expiresAt: made.expiresAt });
    },
  );
}
