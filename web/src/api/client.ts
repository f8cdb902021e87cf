import { request } from "./http.ts";
import type {
  RolloutDevice,
  RolloutPlan,
  RolloutSpec,
  RolloutView,
  Verdict,
} from "./rollout-types.ts";
import type * as T from "./types.ts";

type Query = Record<string, string | number | boolean | undefined | null>;

const encode = encodeURIComponent;
const at = (tenant: string, rest: string) => `/tenants/${encode(tenant)}${rest}`;
const get = <R>(path: string, query?: Query, signal?: AbortSignal) =>
  request<R>("GET", path, { ...(query ? { query } : {}), ...(signal ? { signal } : {}) });
const post = <R>(path: string, body: unknown = {}) => request<R>("POST", path, { body });

/** The operators' API, one function a route. */
export const api = {
  signIn: (email: string, password: string) => post("/auth/sign-in", { email, password }),
  signOut: () => post("/auth/sign-out"),
  whoami: () => get<T.Session>("/auth/whoami"),
  createTenant: (tenant: { id: string; name: string }) => post("/tenants", tenant),

  fleetSummary: (t: string) => get<T.FleetSummary>(at(t, "/fleet/summary")),
  fleetHealth: (t: string, by: string, q: string) =>
    get<{ items: T.HealthRow[] }>(at(t, "/fleet/health"), { by, q }),
  devices: (t: string, query: Query, signal?: AbortSignal) =>
    get<T.Page<T.DeviceView>>(at(t, "/devices"), query, signal),
  device: (t: string, d: string) => get<T.DeviceView>(at(t, `/devices/${encode(d)}`)),
  revokeDevice: (t: string, d: string, reason: string) =>
    post(at(t, `/devices/${encode(d)}/revoke`), { reason }),
  metrics: (t: string, d: string) =>
    get<{ items: T.LatestMetric[] }>(at(t, `/devices/${encode(d)}/metrics`)),
  telemetry: (t: string, d: string, query: Query, signal?: AbortSignal) =>
    get<{ metric: string; points: T.SeriesPoint[] }>(
      at(t, `/devices/${encode(d)}/telemetry`),
      query,
      signal,
    ),
  updates: (t: string, d: string) =>
    get<T.Page<T.UpdateRecord>>(at(t, `/devices/${encode(d)}/updates`)),
  events: (t: string, d: string) =>
    get<T.Page<T.DeviceEventRecord>>(at(t, `/devices/${encode(d)}/events`)),
  certificates: (t: string, d: string) =>
    get<T.Page<T.CertificateView>>(at(t, `/devices/${encode(d)}/certificates`)),

  commands: (t: string, query: Query) => get<T.Page<T.CommandView>>(at(t, "/commands"), query),
  sendCommand: (
    t: string,
    command: { devices: string[]; name: string; args: unknown; ttlSeconds: number },
  ) => post<{ items: T.CommandView[] }>(at(t, "/commands"), command),
  cancelCommand: (t: string, id: string) => post(at(t, `/commands/${encode(id)}/cancel`)),

  logs: (t: string, query: Query, signal?: AbortSignal) =>
    get<T.Page<T.LogRecord>>(at(t, "/logs"), query, signal),
  trace: (t: string, id: string) => get<T.Trace>(at(t, `/traces/${encode(id)}`)),

  releases: (t: string) => get<T.Page<T.ReleaseView>>(at(t, "/releases")),
  publishRelease: (t: string, manifest: string, image: Blob) =>
    request<T.ReleaseView>("POST", at(t, "/releases"), {
      body: image,
      headers: { "x-vautn-manifest": manifest },
    }),
  yankRelease: (t: string, id: string, reason: string) =>
    post(at(t, `/releases/${encode(id)}/yank`), { reason }),
  deltas: (t: string, id: string) =>
    get<{ items: T.DeltaView[] }>(at(t, `/releases/${encode(id)}/deltas`)),

  rollouts: (t: string) => get<T.Page<RolloutView>>(at(t, "/rollouts")),
  rollout: (t: string, id: string) => get<RolloutView>(at(t, `/rollouts/${encode(id)}`)),
  planRollout: (t: string, spec: RolloutSpec) => post<RolloutPlan>(at(t, "/rollouts/plan"), spec),
  createRollout: (t: string, spec: RolloutSpec) => post<RolloutView>(at(t, "/rollouts"), spec),
  rolloutDevices: (t: string, id: string, query: Query) =>
    get<T.Page<RolloutDevice>>(at(t, `/rollouts/${encode(id)}/devices`), query),
  verdicts: (t: string, id: string) =>
    get<T.Page<Verdict>>(at(t, `/rollouts/${encode(id)}/verdicts`)),
  steerRollout: (t: string, id: string, action: string, reason: string) =>
    post<RolloutView>(at(t, `/rollouts/${encode(id)}/${action}`), reason ? { reason } : {}),

  alerts: (t: string, query: Query) => get<T.Page<T.AlertView>>(at(t, "/alerts"), query),
  acknowledgeAlert: (t: string, id: string) => post(at(t, `/alerts/${encode(id)}/acknowledge`)),

  audit: (t: string, query: Query) => get<T.Page<T.AuditEntry>>(at(t, "/audit"), query),
  verifyAudit: (t: string) => get<T.AuditProof>(at(t, "/audit/verify")),

  keys: (t: string) => get<{ items: T.KeyView[] }>(at(t, "/keys")),
  createKey: (t: string, key: { name: string; role: T.TenantRole; expiresAt?: string }) =>
    post<{ id: string; key: string }>(at(t, "/keys"), key),
  revokeKey: (t: string, id: string) => request("DELETE", at(t, `/keys/${encode(id)}`)),
  claimTokens: (t: string) => get<{ items: T.ClaimTokenView[] }>(at(t, "/claim-tokens")),
  createClaimToken: (t: string, token: Record<string, unknown>) =>
    post<{ id: string; token: string }>(at(t, "/claim-tokens"), token),
  revokeClaimToken: (t: string, id: string) =>
    request("DELETE", at(t, `/claim-tokens/${encode(id)}`)),
  webhooks: (t: string) => get<{ items: T.WebhookView[] }>(at(t, "/webhooks")),
  createWebhook: (t: string, webhook: { url: string; eventTypes: string[] }) =>
    post<{ id: string; secret: string }>(at(t, "/webhooks"), webhook),
  deleteWebhook: (t: string, id: string) => request("DELETE", at(t, `/webhooks/${encode(id)}`)),
};
