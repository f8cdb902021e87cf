import type { Operations } from "../../../src/client/generated-api.ts";
import { alertingApi } from "./alerting.ts";
import { type CallOptions, call } from "./call.ts";
import { platformApi } from "./platform.ts";
import type {
  Channel,
  LogRecord,
  RolloutSpec,
  RolloutView,
  TenantRole,
  TenantSettings,
  UpdateRecord,
} from "./types.ts";

export type LogSearchFilter = Operations["createLogSearch"]["body"]["filter"];
export type SavedSearch = Operations["listLogSearches"]["answer"]["items"][number];

type Query<Id extends keyof Operations> = Operations[Id]["query"];
export type Body<Id extends keyof Operations> = Operations[Id]["body"];

export type RolloutAction = "pause" | "resume" | "approve" | "rollback" | "cancel";

/** What the console asks of the operators' API, in the words of its pages. */
export const api = {
  signIn: (body: Body<"signIn">) => call("signIn", { body }),
  beginPasskeySignIn: () => call("beginPasskeySignIn", {}),
  signInWithPasskey: (body: Body<"signInWithPasskey">) => call("signInWithPasskey", { body }),
  ownFactors: () => call("getOwnFactors", {}),
  beginTotp: () => call("beginTotp", {}),
  confirmTotp: (code: string) => call("confirmTotp", { body: { code } }),
  removeTotp: (code: string) => call("removeTotp", { body: { code } }),
  renewRecoveryCodes: (code: string) => call("renewRecoveryCodes", { body: { code } }),
  beginPasskey: () => call("beginPasskey", {}),
  addPasskey: (body: Body<"addPasskey">) => call("addPasskey", { body }),
  removePasskey: (passkey: string) => call("removePasskey", { params: { passkey } }),
  signOut: () => call("signOut", {}),
  offeredProviders: () => call("listOfferedProviders", {}),
  providerSignOut: () => call("getProviderSignOut", {}),
  ownSessions: () => call("listOwnSessions", {}),
  endSession: (session: string) => call("endOwnSession", { params: { session } }),
  endOtherSessions: () => call("endOtherSessions", {}),
  whoami: () => call("whoami", {}),
  createTenant: (body: Body<"createTenant">) => call("createTenant", { body }),
  tenant: (tenant: string) => call("getTenant", { params: { tenant } }),
  updateTenant: (tenant: string, settings: Partial<TenantSettings>) =>
    call("updateTenant", { params: { tenant }, body: { settings } }),
  members: (tenant: string) => call("listMembers", { params: { tenant } }),
  setMember: (tenant: string, body: Body<"setMember">) =>
    call("setMember", { params: { tenant }, body }),
  removeMember: (tenant: string, user: string) =>
    call("removeMember", { params: { tenant, user } }),
  createUser: (body: Body<"createUser">) => call("createUser", { body }),

  fleetSummary: (tenant: string) => call("getFleetSummary", { params: { tenant } }),
  fleetHealth: (tenant: string, query: Query<"getFleetHealth">) =>
    call("getFleetHealth", { params: { tenant }, query }),
  fleetMatrix: (tenant: string, query: Query<"getFleetMatrix">) =>
    call("getFleetMatrix", { params: { tenant }, query }),
  fleetHistory: (tenant: string, query: Query<"getFleetHistory">) =>
    call("getFleetHistory", { params: { tenant }, query }),
  crashGroups: (tenant: string) => call("listCrashGroups", { params: { tenant } }),
  restartGroups: (tenant: string) => call("listRestartGroups", { params: { tenant } }),
  firmwareComparison: (tenant: string) => call("compareFirmware", { params: { tenant } }),
  devices: (tenant: string, query: Query<"listDevices">, options?: CallOptions) =>
    call("listDevices", { params: { tenant }, query }, options),
  device: (tenant: string, device: string) => call("getDevice", { params: { tenant, device } }),
  revokeDevice: (tenant: string, device: string, reason: string) =>
    call("revokeDevice", { params: { tenant, device }, body: { reason } }),
  metrics: (tenant: string, device: string) =>
    call("getLatestMetrics", { params: { tenant, device } }),
  series: (tenant: string, device: string, query: Query<"getSeries">, options?: CallOptions) =>
    call("getSeries", { params: { tenant, device }, query }, options),
  updates: async (tenant: string, device: string) => {
    const { items } = await call("listDeviceUpdates", { params: { tenant, device } });
    return { items: items as UpdateRecord[] };
  },
  events: (tenant: string, device: string) =>
    call("listDeviceEvents", { params: { tenant, device } }),
  timeline: (tenant: string, device: string, query: Query<"getDeviceTimeline">) =>
    call("getDeviceTimeline", { params: { tenant, device }, query }),
  certificates: (tenant: string, device: string) =>
    call("listDeviceCertificates", { params: { tenant, device } }),
  deviceRotation: (tenant: string, device: string) =>
    call("getDeviceRotation", { params: { tenant, device } }),
  quarantines: (tenant: string, device: string) =>
    call("listQuarantines", { params: { tenant, device } }),
  changeStanding: (
    tenant: string,
    device: string,
    change: "quarantine" | "release" | "reinstate",
    reason: string,
  ) => call(`${change}Device`, { params: { tenant, device }, body: { reason } }),

  radar: (tenant: string) => call("getCertificateRadar", { params: { tenant } }),
  failingRotations: (tenant: string, query: Query<"listFailingRotations">) =>
    call("listFailingRotations", { params: { tenant }, query }),
  knocks: (tenant: string, query: Query<"listKnocks">) =>
    call("listKnocks", { params: { tenant }, query }),
  allCertificates: (tenant: string, query: Query<"listCertificates">) =>
    call("listCertificates", { params: { tenant }, query }),
  revokeCertificates: (tenant: string, body: Body<"revokeCertificates">) =>
    call("revokeCertificates", { params: { tenant }, body }),
  unholdCertificates: (tenant: string, body: Body<"unholdCertificates">) =>
    call("unholdCertificates", { params: { tenant }, body }),
  campaigns: (tenant: string) =>
    call("listRotationCampaigns", { params: { tenant }, query: { limit: 50 } }),
  campaignDevices: (
    tenant: string,
    campaign: string,
    query: Query<"listRotationCampaignDevices">,
  ) => call("listRotationCampaignDevices", { params: { tenant, campaign }, query }),
  createCampaign: (tenant: string, body: Body<"createRotationCampaign">) =>
    call("createRotationCampaign", { params: { tenant }, body }),
  steerCampaign: (tenant: string, campaign: string, action: "pause" | "resume" | "cancel") =>
    call(`${action}RotationCampaign`, { params: { tenant, campaign } }),
  pendingEnrolments: (tenant: string, status: "pending" | "accepted" | "rejected") =>
    call("listPendingEnrolments", { params: { tenant }, query: { status } }),
  acceptEnrolment: (tenant: string, enrolment: string) =>
    call("acceptEnrolment", { params: { tenant, enrolment } }),
  rejectEnrolment: (tenant: string, enrolment: string, reason: string) =>
    call("rejectEnrolment", { params: { tenant, enrolment }, body: { reason } }),
  preauthorised: (tenant: string, query: Query<"listPreauthorisedDevices">) =>
    call("listPreauthorisedDevices", { params: { tenant }, query }),
  registeredAuthorities: (tenant: string) =>
    call("listRegisteredAuthorities", { params: { tenant } }),
  groups: (tenant: string) => call("listGroups", { params: { tenant } }),

  commands: (tenant: string, query: Query<"listCommands">) =>
    call("listCommands", { params: { tenant }, query }),
  command: (tenant: string, command: string) => call("getCommand", { params: { tenant, command } }),
  sendCommand: (tenant: string, body: Body<"sendCommand">) =>
    call("sendCommand", { params: { tenant }, body }),
  twin: (tenant: string, device: string) => call("getTwin", { params: { tenant, device } }),
  replaceTwin: (tenant: string, device: string, desired: Record<string, unknown>) =>
    call("replaceTwin", { params: { tenant, device }, body: { desired } }),
  commandBatches: (tenant: string, query: Query<"listCommandBatches">) =>
    call("listCommandBatches", { params: { tenant }, query }),
  commandBatch: (tenant: string, batch: string) =>
    call("getCommandBatch", { params: { tenant, batch } }),
  commandBatchDevices: (tenant: string, batch: string, query: Query<"listCommandBatchDevices">) =>
    call("listCommandBatchDevices", { params: { tenant, batch }, query }),
  steerCommandBatch: (tenant: string, batch: string, verb: "pause" | "resume" | "cancel") =>
    call(`${verb}CommandBatch`, { params: { tenant, batch } }),
  cancelCommand: (tenant: string, command: string) =>
    call("cancelCommand", { params: { tenant, command } }),

  logs: async (tenant: string, query: Query<"searchLogs">, options?: CallOptions) => {
    const page = await call("searchLogs", { params: { tenant }, query }, options);
    return { ...page, items: page.items as LogRecord[] };
  },
  logSearches: (tenant: string) => call("listLogSearches", { params: { tenant } }),
  saveLogSearch: async (tenant: string, body: Body<"createLogSearch">, mayReplace: boolean) => {
    if (!mayReplace) return call("createLogSearch", { params: { tenant }, body });
    const { name: search, filter } = body;
    return call("replaceLogSearch", { params: { tenant, search }, body: { filter } });
  },
  deleteLogSearch: (tenant: string, search: string) =>
    call("deleteLogSearch", { params: { tenant, search } }),
  logContext: (tenant: string, query: Query<"getLogContext">) =>
    call("getLogContext", { params: { tenant }, query }),
  trace: (tenant: string, trace: string) => call("getTrace", { params: { tenant, trace } }),

  releases: (tenant: string, query: Query<"listReleases">) =>
    call("listReleases", { params: { tenant }, query }),
  release: (tenant: string, release: string) => call("getRelease", { params: { tenant, release } }),
  components: (tenant: string, query: Query<"listComponents">, options?: CallOptions) =>
    call("listComponents", { params: { tenant }, query }, options),
  promoteRelease: (tenant: string, release: string, channel: Channel) =>
    call("promoteRelease", { params: { tenant, release }, body: { channel } }),
  publishRelease: (tenant: string, manifest: string, image: Blob) =>
    call(
      "publishRelease",
      { params: { tenant } },
      { upload: image, headers: { "x-vautn-manifest": manifest } },
    ),
  yankRelease: (tenant: string, release: string, reason: string) =>
    call("yankRelease", { params: { tenant, release }, body: { reason } }),
  deltas: (tenant: string, release: string) => call("listDeltas", { params: { tenant, release } }),

  rollouts: async (tenant: string) => {
    const page = await call("listRollouts", { params: { tenant }, query: { limit: 50 } });
    return { ...page, items: page.items as RolloutView[] };
  },
  rollout: async (tenant: string, rollout: string) =>
    (await call("getRollout", { params: { tenant, rollout } })) as RolloutView,
  planRollout: (tenant: string, body: RolloutSpec) =>
    call("planRollout", { params: { tenant }, body }),
  createRollout: (tenant: string, body: RolloutSpec) =>
    call("createRollout", { params: { tenant }, body }),
  rolloutDevices: (tenant: string, rollout: string, query: Query<"listRolloutDevices">) =>
    call("listRolloutDevices", { params: { tenant, rollout }, query }),
  verdicts: (tenant: string, rollout: string) =>
    call("listRolloutVerdicts", { params: { tenant, rollout }, query: { limit: 100 } }),
  replayVerdict: (tenant: string, rollout: string, seq: number) =>
    call("replayRolloutVerdict", { params: { tenant, rollout, seq } }),
  penaltyBox: (tenant: string) => call("listPenaltyBox", { params: { tenant } }),
  pardonDevice: (tenant: string, device: string) =>
    call("pardonDevice", { params: { tenant, device }, body: {} }),
  updateStop: (tenant: string) => call("getUpdateStop", { params: { tenant } }),
  stopUpdates: (tenant: string) => call("stopUpdates", { params: { tenant }, body: {} }),
  allowUpdates: (tenant: string) => call("allowUpdates", { params: { tenant }, body: {} }),
  steerRollout: (tenant: string, rollout: string, action: RolloutAction, reason: string) =>
    call(`${action}Rollout`, { params: { tenant, rollout }, body: reason ? { reason } : {} }),
  rollBackStage: (tenant: string, rollout: string, stage: number, reason: string) =>
    call("rollbackRollout", {
      params: { tenant, rollout },
      body: { stage, ...(reason ? { reason } : {}) },
    }),

  alerts: (tenant: string, query: Query<"listAlerts">) =>
    call("listAlerts", { params: { tenant }, query }),
  acknowledgeAlert: (tenant: string, alert: string) =>
    call("acknowledgeAlert", { params: { tenant, alert } }),
  ...alertingApi,
  ...platformApi,

  audit: (tenant: string, query: Query<"listAudit">) =>
    call("listAudit", { params: { tenant }, query }),
  breakGlass: (tenant: string, body: Body<"breakGlass">) =>
    call("breakGlass", { params: { tenant }, body }),
  endBreakGlass: (tenant: string) => call("endBreakGlass", { params: { tenant } }),
  verifyAudit: (tenant: string) => call("verifyAudit", { params: { tenant } }),

  keys: (tenant: string) => call("listKeys", { params: { tenant } }),
  createKey: (tenant: string, body: Body<"createKey">) =>
    call("createKey", { params: { tenant }, body }),
  usage: (tenant: string) => call("getUsage", { params: { tenant } }),
  figures: (tenant: string) => call("getTenantFigures", { params: { tenant } }),
  roles: (tenant: string) => call("listRoles", { params: { tenant } }),
  createRole: (tenant: string, body: Body<"createRole">) =>
    call("createRole", { params: { tenant }, body }),
  replaceRole: (tenant: string, ownRole: string, body: Body<"replaceRole">) =>
    call("replaceRole", { params: { tenant, ownRole }, body }),
  deleteRole: (tenant: string, ownRole: string) =>
    call("deleteRole", { params: { tenant, ownRole } }),
  applications: (tenant: string, query: Query<"listApplicationCertificates">) =>
    call("listApplicationCertificates", { params: { tenant }, query }),
  issueApplication: (
    tenant: string,
    body: { name: string; role: TenantRole; lifetimeHours?: number; csr?: string },
  ) => call("issueApplicationCertificate", { params: { tenant }, body }),
  revokeApplication: (tenant: string, serial: string) =>
    call("revokeApplicationCertificate", { params: { tenant, serial } }),
  revokeKey: (tenant: string, key: string) => call("revokeKey", { params: { tenant, key } }),
  claimTokens: (tenant: string) => call("listClaimTokens", { params: { tenant } }),
  createClaimToken: (tenant: string, body: Body<"createClaimToken">) =>
    call("createClaimToken", { params: { tenant }, body }),
  revokeClaimToken: (tenant: string, claimToken: string) =>
    call("revokeClaimToken", { params: { tenant, claimToken } }),
  webhooks: (tenant: string) => call("listWebhooks", { params: { tenant } }),
  createWebhook: (tenant: string, body: { url: string; eventTypes: string[] }) =>
    call("createWebhook", { params: { tenant }, body }),
  deleteWebhook: (tenant: string, webhook: string) =>
    call("deleteWebhook", { params: { tenant, webhook } }),
};
