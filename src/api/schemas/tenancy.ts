import { type TInteger, Type } from "typebox";
import {
  PERMISSIONS,
  type Permission,
  PLATFORM_ROLES,
  TENANT_SETTINGS,
  type TenantSettings,
} from "../../tenancy/index.ts";
import {
  listOf,
  Name,
  nullable,
  page,
  Role,
  RoleGroups,
  RoleName,
  strict,
  TenantId,
  Timestamp,
  Uuid,
  view,
} from "./common.ts";

const Email = Type.String({ format: "email", maxLength: 254 });
const Password = Type.String({ minLength: 12, maxLength: 256 });
const PlatformRole = Type.Enum([...PLATFORM_ROLES]);

export const SignInBody = strict({
  email: Type.String({ minLength: 1, maxLength: 254 }),
  password: Type.String({ minLength: 1, maxLength: 256 }),
  code: Type.Optional(
    Type.String({
      minLength: 6,
      maxLength: 32,
      description: "Of an authenticator app, or a recovery code; asked for by second-factor-needed",
    }),
  ),
});

const TenantAccess = view("TenantAccess", {
  id: TenantId,
  name: Type.String(),
  role: nullable(RoleName),
  permissions: Type.Array(Type.String(), { description: "What the caller may there" }),
  groups: nullable(Type.Array(Type.String(), { description: "What the caller is confined to" })),
});

export const SessionView = view("Session", {
  user: Type.Object({ id: Uuid, email: Type.String(), name: Type.String() }),
  platformRole: nullable(PlatformRole),
  tenants: Type.Array(TenantAccess),
  expiresAt: Timestamp,
  mustEnrol: Type.Boolean({ description: "It may set up a second factor and nothing else" }),
});

export const WhoamiView = view("Whoami", {
  actor: Type.Object({ kind: Type.String(), id: Type.String(), name: Type.String() }),
  platformRole: nullable(PlatformRole),
  tenants: Type.Array(TenantAccess),
  mustEnrol: Type.Boolean({ description: "It may set up a second factor and nothing else" }),
});

export const TenantSettingsPatch = Type.Object(
  {},
  {
    additionalProperties: Type.Unknown(),
    maxProperties: 50,
    description: "heartbeatIntervalSeconds, offlineAfterMissed, certificateLifetimeHours, …",
  },
);

const names = Object.keys(TENANT_SETTINGS) as (keyof TenantSettings)[];
const TenantSettingsView = view(
  "TenantSettings",
  Object.fromEntries(
    names.map((name) => {
      const { minimum, maximum, default: usual } = TENANT_SETTINGS[name];
      return [name, Type.Integer({ minimum, maximum, default: usual })];
    }),
  ) as Record<keyof TenantSettings, TInteger>,
);

const StorageClass = Type.Enum(["shared", "separate"] as const, {
  description:
    "Of telemetry, events, log lines, spans (in partitions of its own) and artifacts (in a folder or under a prefix of its own), where it is separate; the registry, commands and the audit log are rows of one database in either case",
});
export const TenantView = view("Tenant", {
  id: TenantId,
  name: Type.String(),
  status: Type.Enum(["active", "suspended"] as const),
  settings: TenantSettingsView,
  storageClass: StorageClass,
  storageMove: nullable(
    strict(
      {
        since: Timestamp,
        done: Type.Integer({ description: "Tables whose rows are there" }),
        of: Type.Integer({ description: "All of them; 0 before the first is begun" }),
        copiedAt: nullable(
          Type.String({
            format: "date-time",
            description: "Since then all is there, and is being removed where it was",
          }),
        ),
      },
      { description: "While its rows and artifacts are on their way to where the class has them" },
    ),
  ),
  createdAt: Timestamp,
  deletesAt: nullable(
    Type.String({ format: "date-time", description: "Until then the tenant can be restored" }),
  ),
});
export const TenantList = listOf("TenantList", TenantView);
export const CreateTenantBody = strict({
  id: TenantId,
  name: Name,
  settings: Type.Optional(TenantSettingsPatch),
  storageClass: Type.Optional(StorageClass),
});
export const MoveStorageBody = strict({ storageClass: StorageClass });
export const UpdateTenantBody = strict({ settings: TenantSettingsPatch });

const streamParts = {
  id: Uuid,
  url: Type.String(),
  seq: Type.Integer({ description: "The last entry that the receiver has taken" }),
  attempts: Type.Integer({ description: "That have failed in a row" }),
  lastError: nullable(Type.String()),
  deliveredAt: nullable(Timestamp),
  nextAttemptAt: Timestamp,
  createdAt: Timestamp,
  createdBy: Type.String(),
};
export const AuditStreamList = listOf("AuditStreamList", view("AuditStream", streamParts));
export const CreatedAuditStream = view("CreatedAuditStream", {
  ...streamParts,
  secret: nullable(Type.String({ description: "Of a webhook; shown this once" })),
});
export const CreateAuditStreamBody = strict({
  url: Type.String({
    minLength: 1,
    maxLength: 2_048,
    description: "https://…, syslog+tcp://host:port or syslog+tls://host:port",
  }),
  authorityPem: Type.Optional(Type.String({ maxLength: 65_536 })),
  fromStart: Type.Optional(Type.Boolean({ description: "Also what is in the log already" })),
});

export const DeletionView = view("TenantDeletion", {
  deletesAt: Type.String({ format: "date-time", description: "Until then it can be restored" }),
});
const Counts = Type.Record(Type.String(), Type.Integer());
export const DeletionReceiptView = view("TenantDeletionReceipt", {
  receipt: Type.Object({
    signed: Type.Object({
      _type: Type.Literal("tenant-deletion"),
      tenant: Type.String(),
      deletedAt: Timestamp,
      removed: Type.Object({
        postgresql: Counts,
        clickhouse: Counts,
        blobs: Type.Object({
          count: Type.Integer(),
          sizeBytes: Type.Integer(),
          sharedWithOthers: Type.Integer(),
        }),
        uploads: Type.Integer(),
      }),
      left: Type.Object({
        postgresql: Counts,
        clickhouse: Counts,
        ownBlobs: Type.Optional(
          Type.Integer({ description: "Files in a place of its own; absent in older receipts" }),
        ),
      }),
      kept: Type.Record(Type.String(), Type.String()),
    }),
    signatures: Type.Array(Type.Object({ keyid: Type.String(), sig: Type.String() })),
  }),
  key: Type.Object({
    keytype: Type.String(),
    scheme: Type.String(),
    keyval: Type.Object({ public: Type.String() }),
  }),
});

export const UsageView = view("Usage", {
  warnAt: Type.Number({ description: "From this part of a limit on an alert warns" }),
  items: Type.Array(
    view("QuotaUse", {
      quota: Type.String(),
      title: Type.String(),
      used: Type.Integer({
        description: "The sum of today (UTC), or the most at one moment of it",
      }),
      limit: Type.Integer({ description: "0: none" }),
      period: Type.Enum(["day", "peak"] as const),
      unit: Type.String(),
      state: Type.Enum(["ok", "warning", "reached"] as const),
      refusal: Type.String({ description: "What happens at the limit" }),
      setting: Type.String({ description: "The tenant's setting that holds the limit" }),
    }),
  ),
});

export const KeyView = view("ApiKey", {
  id: Uuid,
  name: Type.String(),
  role: nullable(RoleName),
  groups: nullable(Type.Array(Type.String())),
  scopes: nullable(Type.Array(Type.String())),
  createdAt: Timestamp,
  expiresAt: nullable(Timestamp),
  lastUsedAt: nullable(Timestamp),
  revokedAt: nullable(Timestamp),
});
export const KeyList = listOf("ApiKeyList", KeyView);
export const CreateKeyBody = strict({
  name: Name,
  role: RoleName,
  groups: Type.Optional(RoleGroups),
  scopes: Type.Optional(
    Type.Array(Type.Enum(Object.keys(PERMISSIONS) as Permission[]), {
      minItems: 1,
      maxItems: 64,
      description: "What the key is confined to, of what its role may",
    }),
  ),
  expiresAt: Type.Optional(Timestamp),
});
export const CreatePersonalKeyBody = strict({ name: Name, expiresAt: Type.Optional(Timestamp) });
export const CreatedKeyView = view("CreatedApiKey", {
  id: Uuid,
  key: Type.String({ description: "Shown this once" }),
});

export const UserView = view("User", {
  id: Uuid,
  email: Type.String(),
  name: Type.String(),
  platformRole: nullable(PlatformRole),
  memberships: Type.Array(
    Type.Object({
      tenantId: TenantId,
      role: RoleName,
      groups: nullable(Type.Array(Type.String())),
    }),
  ),
  createdAt: Timestamp,
  disabledAt: nullable(Timestamp),
});
export const UserList = listOf("UserList", UserView);
export const CreateUserBody = strict({
  email: Email,
  name: Name,
  password: Type.Optional(Password),
  platformRole: Type.Optional(PlatformRole),
  memberships: Type.Optional(
    Type.Array(strict({ tenantId: TenantId, role: Role }), { maxItems: 100 }),
  ),
});
export const MembershipBody = strict({
  email: Email,
  role: RoleName,
  groups: Type.Optional(RoleGroups),
});

export const RoleView = view("Role", {
  name: RoleName,
  description: Type.String(),
  permissions: Type.Array(Type.String()),
  isBuiltIn: Type.Boolean(),
  members: Type.Integer({ description: "Members who have it" }),
  keys: Type.Integer({ description: "Keys in use that have it" }),
  updatedAt: nullable(Timestamp),
});
export const RoleList = view("RoleList", {
  items: Type.Array(RoleView),
  permissions: Type.Array(
    view("Permission", {
      name: Type.String(),
      meaning: Type.String(),
      confinable: Type.Boolean({ description: "Whether it can be confined to groups" }),
    }),
  ),
});
const roleParts = {
  description: Type.Optional(Type.String({ maxLength: 256 })),
  permissions: Type.Array(Type.Enum(Object.keys(PERMISSIONS) as Permission[]), {
    minItems: 1,
    maxItems: 64,
  }),
};
export const RoleBody = strict(roleParts);
export const CreateRoleBody = strict({ name: RoleName, ...roleParts });
export const SetPasswordBody = strict({ password: Password });

export const AuditEntryView = view("AuditEntry", {
  seq: Type.Integer(),
  at: Timestamp,
  actor: Type.Object({ kind: Type.String(), id: Type.String(), name: Type.String() }),
  action: Type.String(),
  targetKind: Type.String(),
  targetId: Type.String(),
  outcome: Type.Enum(["done", "refused"] as const),
  hash: Type.String({ description: "Hex" }),
  address: nullable(Type.String()),
  traceId: nullable(Type.String()),
  details: Type.Record(Type.String(), Type.Unknown()),
});
export const AuditPage = page("AuditPage", AuditEntryView);
const AuditFlaw = Type.Enum(["missing", "altered", "cut", "checkpoint", "signature"] as const);
export const AuditVerification = view("AuditVerification", {
  entries: Type.Integer({ description: "Those that fit; not those deleted by age" }),
  intact: Type.Boolean(),
  firstBroken: Type.Optional(Type.Integer()),
  reason: Type.Optional(AuditFlaw),
  head: Type.Optional(Type.Object({ seq: Type.Integer(), hash: Type.String() })),
  forgottenUpTo: Type.Optional(Type.Integer({ description: "Deleted by age up to this entry" })),
  signed: Type.Optional(
    Type.Object({
      number: Type.Integer(),
      seq: Type.Integer({ description: "The last entry that a signature covers" }),
      at: Timestamp,
      keyId: Type.String(),
    }),
  ),
});
const AuditCheckpointView = view("AuditCheckpoint", {
  signed: Type.Object({
    _type: Type.Literal("audit-checkpoint"),
    log: Type.String(),
    number: Type.Integer(),
    seq: Type.Integer(),
    hash: Type.String({ description: "Hex" }),
    at: Type.Integer({ description: "Milliseconds since the epoch" }),
  }),
  signatures: Type.Array(Type.Object({ keyid: Type.String(), sig: Type.String() })),
});
const SigningKeyView = Type.Object({
  keytype: Type.String(),
  scheme: Type.String(),
  keyval: Type.Object({ public: Type.String() }),
});

export const AuditCheckpointPage = view("AuditCheckpointPage", {
  key: SigningKeyView,
  replacedKeys: Type.Array(SigningKeyView, {
    description:
      "Of master keys that were replaced, the last one first: what they had signed stands",
  }),
  items: Type.Array(AuditCheckpointView),
  nextCursor: nullable(Type.String()),
});
