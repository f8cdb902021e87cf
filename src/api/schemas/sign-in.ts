import { type TProperties, Type } from "typebox";
import { listOf, Name, nullable, Role, strict, TenantId, Timestamp, Uuid, view } from "./common.ts";

export const ProviderId = Type.String({ pattern: "^[a-z0-9][a-z0-9-]{0,39}$" });
export const ProviderParams = strict({ provider: ProviderId });

export const OfferedProviderList = listOf(
  "OfferedProviderList",
  view("OfferedProvider", { id: ProviderId, name: Type.String() }),
);

const RoleMappingBody = strict({
  claim: Type.String({
    minLength: 1,
    maxLength: 128,
    description: "Name of a claim; `a.b` looks into objects",
  }),
  value: Type.String({ minLength: 1, maxLength: 512, description: "Text, or a member of a list" }),
  tenantId: TenantId,
  role: Role,
});

const ProviderSettingsBody = {
  name: Name,
  issuer: Type.String({ minLength: 1, maxLength: 512, description: "As it stands in tokens" }),
  clientId: Type.String({ minLength: 1, maxLength: 256 }),
  clientSecret: Type.Optional(
    nullable(
      Type.String({
        minLength: 1,
        maxLength: 1024,
        description: "Kept sealed and never told; null for a public client",
      }),
    ),
  ),
  scopes: Type.Optional(
    Type.Array(Type.String({ minLength: 1, maxLength: 100 }), { maxItems: 20 }),
  ),
  linksByEmail: Type.Optional(
    Type.Boolean({ description: "A verified e-mail address leads to the user who has it" }),
  ),
  createsUsers: Type.Optional(
    Type.Boolean({ description: "Somebody new becomes a user, where a mapping gives a role" }),
  ),
  emailDomains: Type.Optional(
    Type.Array(Type.String({ minLength: 3, maxLength: 253 }), { maxItems: 50 }),
  ),
  roleMappings: Type.Optional(Type.Array(RoleMappingBody, { maxItems: 100 })),
  enabled: Type.Optional(Type.Boolean()),
};
export const CreateProviderBody = strict({ id: ProviderId, ...ProviderSettingsBody });
export const ReplaceProviderBody = strict(ProviderSettingsBody);

export const ProviderView = view("SignInProvider", {
  id: ProviderId,
  name: Type.String(),
  issuer: Type.String(),
  clientId: Type.String(),
  hasSecret: Type.Boolean(),
  scopes: Type.Array(Type.String()),
  linksByEmail: Type.Boolean(),
  createsUsers: Type.Boolean(),
  emailDomains: Type.Array(Type.String()),
  roleMappings: Type.Array(
    view("RoleMapping", {
      claim: Type.String(),
      value: Type.String(),
      tenantId: TenantId,
      role: Role,
    }),
  ),
  enabled: Type.Boolean(),
  createdAt: Timestamp,
  updatedAt: Timestamp,
});
export const ProviderList = listOf("SignInProviderList", ProviderView);

export const ProviderCheckView = view("SignInProviderCheck", {
  issuer: Type.String(),
  authorizationEndpoint: nullable(Type.String()),
  endSessionEndpoint: nullable(Type.String()),
  supportsPkce: Type.Boolean(),
  algorithms: Type.Array(Type.String()),
  redirectUri: Type.String({ description: "To be registered with the provider" }),
  signOutUri: Type.String({ description: "To be registered as the place after signing out" }),
});

export const IdentityView = view("UserIdentity", {
  provider: ProviderId,
  subject: Type.String(),
  email: nullable(Type.String()),
  createdAt: Timestamp,
  lastUsedAt: nullable(Timestamp),
});
export const IdentityList = listOf("UserIdentityList", IdentityView);
export const SetIdentityBody = strict({ subject: Type.String({ minLength: 1, maxLength: 255 }) });

export const LeaveView = view("ProviderSignOut", { url: nullable(Type.String()) });

export const OwnSessionView = view("OwnSession", {
  id: Uuid,
  method: Type.String({ description: "`password`, `oidc`, …, with further factors after a plus" }),
  provider: nullable(ProviderId),
  createdAt: Timestamp,
  lastUsedAt: Timestamp,
  expiresAt: Timestamp,
  address: nullable(Type.String()),
  userAgent: nullable(Type.String()),
  isCurrent: Type.Boolean(),
});
export const OwnSessionList = listOf("OwnSessionList", OwnSessionView);
export const EndedSessionsView = view("EndedSessions", { ended: Type.Integer() });

export const CodeBody = strict({
  code: Type.String({
    minLength: 6,
    maxLength: 32,
    description: "Six digits of the app, or a recovery code",
  }),
});
export const TotpSecretView = view("TotpSecret", {
  secret: Type.String({ description: "Base32, for typing; shown this once" }),
  uri: Type.String({ description: "`otpauth://…`, for a QR code" }),
});
export const RecoveryCodesView = view("RecoveryCodes", {
  recoveryCodes: Type.Array(Type.String(), { description: "Shown this once; each opens once" }),
});
export const FactorsView = view("Factors", {
  totp: nullable(Type.Object({ confirmedAt: Timestamp })),
  recoveryCodesLeft: Type.Integer(),
  passkeys: Type.Array(
    view("Passkey", {
      id: Uuid,
      name: Type.String(),
      isBackedUp: Type.Boolean(),
      createdAt: Timestamp,
      lastUsedAt: nullable(Timestamp),
    }),
  ),
  isRequired: Type.Boolean({ description: "Signing in with a password alone is not enough" }),
});

const Base64Url = (maxLength: number) => Type.String({ pattern: "^[A-Za-z0-9_-]*$", maxLength });
// WebAuthn Level 3 §5.1: what browsers give as JSON, with members that are yet to come.
const credential = <Answer extends TProperties>(response: Answer) =>
  Type.Object(
    {
      id: Base64Url(1_400),
      rawId: Base64Url(1_400),
      type: Type.Literal("public-key"),
      response: Type.Object(response, { additionalProperties: Type.Unknown(), maxProperties: 20 }),
      clientExtensionResults: Type.Object(
        {},
        { additionalProperties: Type.Unknown(), maxProperties: 50 },
      ),
      authenticatorAttachment: Type.Optional(Type.String({ maxLength: 32 })),
    },
    { additionalProperties: Type.Unknown(), maxProperties: 20 },
  );
const Challenge = Type.String({ minLength: 1, maxLength: 1024, description: "As it was given" });

export const PasskeyChallengeView = view("PasskeyChallenge", {
  options: Type.Record(Type.String(), Type.Unknown(), {
    description: "For navigator.credentials, as JSON",
  }),
  challenge: Type.String({ description: "To be sent along with the answer; five minutes" }),
});
export const RegisterPasskeyBody = strict({
  challenge: Challenge,
  name: Name,
  response: credential({
    clientDataJSON: Base64Url(4_096),
    attestationObject: Base64Url(65_536),
    transports: Type.Optional(Type.Array(Type.String({ maxLength: 32 }), { maxItems: 10 })),
  }),
});
export const PasskeySignInBody = strict({
  challenge: Challenge,
  response: credential({
    clientDataJSON: Base64Url(4_096),
    authenticatorData: Base64Url(4_096),
    signature: Base64Url(4_096),
    userHandle: Type.Optional(nullable(Base64Url(128))),
  }),
});
export const PasskeyCreatedView = view("CreatedPasskey", { id: Uuid });
export const SignedInView = view("SignedIn", {
  user: Type.Object({ id: Uuid, email: Type.String(), name: Type.String() }),
  expiresAt: Timestamp,
});

const Policy = Type.Enum(["optional", "administrators", "everybody"] as const);
export const PolicyBody = strict({ secondFactor: Policy });
export const PolicyView = view("SignInPolicy", { secondFactor: Policy });
export const RequireFactorBody = strict({ isRequired: Type.Boolean() });
