import { Type } from "typebox";
import { PERMISSIONS, type Permission } from "../../tenancy/index.ts";
import { listOf, nullable, Role, strict, Timestamp, Uuid, view } from "./common.ts";

const ConditionFields = {
  claim: Type.String({ minLength: 1, maxLength: 128 }),
  value: Type.String({
    minLength: 1,
    maxLength: 512,
    description: "What the claim must be; `*` stands for any text",
  }),
};

export const CreateServiceAccountBody = strict({
  name: Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,62}$" }),
  issuer: Type.String({ minLength: 1, maxLength: 512, description: "As it stands in tokens" }),
  audience: Type.String({ minLength: 1, maxLength: 512, description: "`aud` of its tokens" }),
  conditions: Type.Array(strict(ConditionFields), { minItems: 1, maxItems: 20 }),
  role: Role,
  scopes: Type.Optional(
    Type.Array(Type.Enum(Object.keys(PERMISSIONS) as Permission[]), { minItems: 1, maxItems: 64 }),
  ),
  lifetimeSeconds: Type.Optional(Type.Integer({ minimum: 60, maximum: 3_600, default: 900 })),
});

export const ServiceAccountView = view("ServiceAccount", {
  id: Uuid,
  name: Type.String(),
  issuer: Type.String(),
  audience: Type.String(),
  conditions: Type.Array(view("TokenCondition", ConditionFields)),
  role: Role,
  scopes: nullable(Type.Array(Type.String())),
  lifetimeSeconds: Type.Integer(),
  createdAt: Timestamp,
  lastUsedAt: nullable(Timestamp),
});
export const ServiceAccountList = listOf("ServiceAccountList", ServiceAccountView);

const TokenTypes = [
  "urn:ietf:params:oauth:token-type:jwt",
  "urn:ietf:params:oauth:token-type:id_token",
] as const;

// RFC 8693 §2.1
export const ExchangeBody = strict({
  grant_type: Type.Literal("urn:ietf:params:oauth:grant-type:token-exchange"),
  subject_token: Type.String({ minLength: 1, maxLength: 16_384 }),
  subject_token_type: Type.Enum(TokenTypes),
  audience: Type.String({
    pattern: "^[a-z0-9][a-z0-9-]{0,62}/[a-z0-9][a-z0-9-]{0,62}$",
    description: "TENANT/SERVICE-ACCOUNT",
  }),
  requested_token_type: Type.Optional(
    Type.Literal("urn:ietf:params:oauth:token-type:access_token"),
  ),
});

export const ExchangedTokenView = view("ExchangedToken", {
  access_token: Type.String({ description: "A key (`vk_…`)" }),
  issued_token_type: Type.Literal("urn:ietf:params:oauth:token-type:access_token"),
  token_type: Type.Literal("Bearer"),
  expires_in: Type.Integer(),
  scope: Type.Optional(Type.String()),
});
