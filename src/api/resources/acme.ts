import type { AcmeStatus } from "../../identity/index.ts";
import { AppError } from "../../kernel/index.ts";
import { answers } from "../schemas/common.ts";
import { AcmeStatusView } from "../schemas/pki.ts";
import type { Api } from "../types.ts";

export interface AcmeDeps {
  identity: {
    acme: { status(): Promise<AcmeStatus | null>; renewNow(): Promise<AcmeStatus | null> };
  };
}

const tags = ["pki"];

/** Server certificates of another authority. */
export function acmeRoutes(api: Api, { identity }: AcmeDeps): void {
  const told = (status: AcmeStatus | null): AcmeStatus => {
    if (status) return status;
    throw new AppError("not-found", "no ACME authority is named: set VAUTN_ACME_DIRECTORY");
  };
  api.get(
    "/pki/acme",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "getAcmeStatus",
        tags,
        summary: "How the server certificate of the ACME authority stands",
        response: answers(200, AcmeStatusView),
      },
    },
    async () => told(await identity.acme.status()),
  );

  api.post(
    "/pki/acme/renew",
    {
      config: { access: "platform-administrator", action: "server-certificate.renew" },
      schema: {
        operationId: "renewAcmeCertificate",
        tags,
        summary: "Orders a server certificate within seconds, whatever failed before",
        response: answers(202, AcmeStatusView),
      },
    },
    async (_request, reply) => reply.code(202).send(told(await identity.acme.renewNow())),
  );
}
