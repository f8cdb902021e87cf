import type { CompromisedKeys, KeyPlace, Pki } from "../../identity/index.ts";
import { AppError, messageOf } from "../../kernel/index.ts";
import { parseTokenUri } from "../../kernel/pkcs11-uri.ts";
import { actorOf, tenantOf } from "../access.ts";
import {
  answers,
  NoContent,
  Sha256,
  strict,
  TenantId,
  TenantParams,
  Uuid,
} from "../schemas/common.ts";
import {
  AddCompromisedKeyBody,
  AuthorityList,
  AuthorityView,
  CompromisedKeyList,
  CompromisedKeyView,
  EndAuthorityBody,
  EndedAuthorityView,
  HierarchyView,
  ImportSignedBody,
  RequestBundleView,
  RotateAuthorityBody,
  RotateBody,
  RotateRootBody,
  RotationView,
  TenantAuthoritiesView,
} from "../schemas/pki.ts";
import type { Api } from "../types.ts";

export interface PkiDeps {
  identity: {
    pki: Pki;
    compromisedKeys: CompromisedKeys;
  };
}

const tags = ["pki"];
/** A certificate for each of ten thousand tenants. */
const IMPORT_LIMIT_BYTES = 32 * 1024 * 1024;

export function pkiRoutes(api: Api, deps: PkiDeps): void {
  tenantRoutes(api, deps);
  ceremonyRoutes(api, deps);
  rotationRoutes(api, deps);
  compromisedKeyRoutes(api, deps);
}

function tenantRoutes(api: Api, { identity }: PkiDeps): void {
  api.get(
    "/tenants/:tenant/authorities",
    {
      config: { access: "devices.read" },
      schema: {
        operationId: "listTenantAuthorities",
        tags,
        summary: "The tenant's own authorities, with how many certificates of each are in use",
        params: TenantParams,
        response: answers(200, TenantAuthoritiesView),
      },
    },
    (request) => identity.pki.ofTenant(tenantOf(request)),
  );

  api.post(
    "/tenants/:tenant/authorities/rotate",
    {
      config: { access: "authorities.manage", action: "authority.rotate" },
      schema: {
        operationId: "rotateTenantAuthority",
        tags,
        summary: "A successor for the tenant's authority; the old one stays trusted until ended",
        params: TenantParams,
        body: RotateAuthorityBody,
        response: answers(202, RotationView),
      },
    },
    async (request, reply) => {
      const what = { kind: "tenant", tenantId: tenantOf(request) } as const;
      const outcome = await identity.pki.rotate(what, placeOf(request.body), actorOf(request));
      return reply.code(202).send({ outcome });
    },
  );

  api.post(
    "/tenants/:tenant/authorities/:authority/end",
    {
      config: { access: "authorities.manage", action: "authority.end" },
      schema: {
        operationId: "endTenantAuthority",
        tags,
        summary: "What a retiring authority issued is accepted no more",
        params: strict({ tenant: TenantId, authority: Uuid }),
        body: EndAuthorityBody,
        response: answers(200, EndedAuthorityView),
      },
    },
    (request) => {
      const { authority } = request.params;
      const options = { force: request.body.force ?? false };
      return identity.pki.end(tenantOf(request), authority, options, actorOf(request));
    },
  );
}

/** What goes to the offline root and comes back. */
function ceremonyRoutes(api: Api, { identity }: PkiDeps): void {
  api.get(
    "/pki",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "getHierarchy",
        tags,
        summary: "Every authority of the installation, and what waits for the offline root",
        response: answers(200, HierarchyView),
      },
    },
    () => identity.pki.hierarchy(),
  );

  api.get(
    "/pki/requests",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "getAuthorityRequests",
        tags,
        summary: "What the offline root is to sign: for vautn pki sign-bundle",
        response: answers(200, RequestBundleView),
      },
    },
    () => identity.pki.requests(),
  );

  api.post(
    "/pki/import",
    {
      config: { access: "platform-administrator", action: "authority.import" },
      bodyLimit: IMPORT_LIMIT_BYTES,
      schema: {
        operationId: "importSignedAuthorities",
        tags,
        summary: "Takes over what the offline root has signed: all of it or nothing",
        body: ImportSignedBody,
        response: answers(200, AuthorityList),
      },
    },
    async (request) => ({ items: await identity.pki.importSigned(request.body, actorOf(request)) }),
  );
}

function rotationRoutes(api: Api, { identity }: PkiDeps): void {
  api.post(
    "/pki/rotate",
    {
      config: { access: "platform-administrator", action: "authority.rotate" },
      schema: {
        operationId: "rotateAuthority",
        tags,
        summary: "A successor for the servers' authority or a tenant's, in a token if named",
        body: RotateBody,
        response: answers(202, RotationView),
      },
    },
    async (request, reply) => {
      const { kind, tenant } = request.body;
      if (kind === "tenant" && !tenant) {
        throw new AppError("invalid-content", "a tenant's authority needs the tenant's id");
      }
      const what = kind === "server" ? { kind } : { kind, tenantId: tenant as string };
      const outcome = await identity.pki.rotate(what, placeOf(request.body), actorOf(request));
      return reply.code(202).send({ outcome });
    },
  );

  api.post(
    "/pki/rotate-root",
    {
      config: { access: "platform-administrator", action: "authority.rotate-root" },
      schema: {
        operationId: "rotateRoot",
        tags,
        summary: "A successor for the root: made here, in a token, or offline and given as PEM",
        body: RotateRootBody,
        response: answers(201, AuthorityView),
      },
    },
    async (request, reply) => {
      const { certificatePem, crossCertificatePem, tokenUri } = request.body;
      const given = certificatePem
        ? { certificatePem, crossCertificatePem, keyUri: checkedUri(tokenUri) }
        : placeOf(request.body);
      return reply.code(201).send(await identity.pki.rotateRoot(given, actorOf(request)));
    },
  );

  api.post(
    "/pki/authorities/:authority/end",
    {
      config: { access: "platform-administrator", action: "authority.end" },
      schema: {
        operationId: "endAuthority",
        tags,
        summary: "Ends a retiring root, with what only it signed, or a retiring servers' authority",
        params: strict({ authority: Uuid }),
        body: EndAuthorityBody,
        response: answers(200, EndedAuthorityView),
      },
    },
    (request) => {
      const options = { force: request.body.force ?? false };
      return identity.pki.end(null, request.params.authority, options, actorOf(request));
    },
  );
}

function compromisedKeyRoutes(api: Api, { identity }: PkiDeps): void {
  api.get(
    "/pki/compromised-keys",
    {
      config: { access: "platform-administrator" },
      schema: {
        operationId: "listCompromisedKeys",
        tags,
        response: answers(200, CompromisedKeyList),
      },
    },
    async () => ({ items: await identity.compromisedKeys.list() }),
  );

  api.post(
    "/pki/compromised-keys",
    {
      config: { access: "platform-administrator", action: "key.compromise" },
      schema: {
        operationId: "addCompromisedKey",
        tags,
        summary: "A key that no certificate is to be issued for any more, in any tenant",
        body: AddCompromisedKeyBody,
        response: answers(201, CompromisedKeyView),
      },
    },
    async (request, reply) => {
      const { pem, reason } = request.body;
      return reply
        .code(201)
        .send(await identity.compromisedKeys.add(pem, reason, actorOf(request)));
    },
  );

  api.delete(
    "/pki/compromised-keys/:key",
    {
      config: { access: "platform-administrator", action: "key.clear" },
      schema: {
        operationId: "removeCompromisedKey",
        tags,
        params: strict({ key: Sha256 }),
        response: answers(204, NoContent),
      },
    },
    async (request, reply) => {
      await identity.compromisedKeys.remove(request.params.key, actorOf(request));
      return reply.code(204).send();
    },
  );
}

function placeOf(body: {
  algorithm?: "ecdsa-p256" | "ed25519" | undefined;
  tokenUri?: string | undefined;
}): KeyPlace {
  const uri = checkedUri(body.tokenUri);
  if (!uri) return { kind: "sealed", ...(body.algorithm ? { algorithm: body.algorithm } : {}) };
  if (body.algorithm === "ed25519") {
    throw new AppError("invalid-content", "a key in a token is P-256");
  }
  return { kind: "pkcs11", uri };
}

function checkedUri(uri: string | undefined): string | undefined {
  if (uri === undefined) return undefined;
  try {
    parseTokenUri(uri);
    return uri;
  } catch (error) {
    throw new AppError("invalid-content", messageOf(error), {
      errors: [{ field: "tokenUri", message: messageOf(error) }],
    });
  }
}
