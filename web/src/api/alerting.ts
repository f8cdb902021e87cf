import { queryOptions } from "@tanstack/react-query";
import type { Operations } from "../../../src/client/generated-api.ts";
import { call } from "./call.ts";

type Body<Id extends keyof Operations> = NonNullable<Operations[Id]["body"]>;
type Item<Id extends "listAlertRules" | "listAlertSilences" | "listAlertChannels"> =
  Operations[Id]["answer"]["items"][number];

export type AlertRuleView = Item<"listAlertRules">;
export type AlertRuleSpec = Body<"createAlertRule">;
export type AlertRulePreview = Operations["previewAlertRule"]["answer"];
export type SilenceView = Item<"listAlertSilences">;
export type ChannelView = Item<"listAlertChannels">;
export type AnomalyMetric = Operations["listAnomalyMetrics"]["answer"]["items"][number];
export type NewChannel = Body<"createAlertChannel">;
export type AlertPolicy = Body<"replaceAlertPolicy">;

/** Alerts in detail, and everything that decides of them. */
export const alertingApi = {
  alert: (tenant: string, alert: string) => call("getAlert", { params: { tenant, alert } }),
  alertHistory: (tenant: string, alert: string) =>
    call("getAlertHistory", { params: { tenant, alert } }),
  resolveAlert: (tenant: string, alert: string) =>
    call("resolveAlert", { params: { tenant, alert } }),
  alertRules: (tenant: string) => call("listAlertRules", { params: { tenant } }),
  createAlertRule: (tenant: string, body: AlertRuleSpec) =>
    call("createAlertRule", { params: { tenant }, body }),
  replaceAlertRule: (tenant: string, rule: string, body: AlertRuleSpec) =>
    call("replaceAlertRule", { params: { tenant, rule }, body }),
  deleteAlertRule: (tenant: string, rule: string) =>
    call("deleteAlertRule", { params: { tenant, rule } }),
  previewAlertRule: (tenant: string, body: AlertRuleSpec) =>
    call("previewAlertRule", { params: { tenant }, body }),
  silences: (tenant: string) => call("listAlertSilences", { params: { tenant } }),
  createSilence: (tenant: string, body: Body<"createAlertSilence">) =>
    call("createAlertSilence", { params: { tenant }, body }),
  expireSilence: (tenant: string, silence: string) =>
    call("expireAlertSilence", { params: { tenant, silence } }),
  channels: (tenant: string) => call("listAlertChannels", { params: { tenant } }),
  createChannel: (tenant: string, body: NewChannel) =>
    call("createAlertChannel", { params: { tenant }, body }),
  deleteChannel: (tenant: string, channel: string) =>
    call("deleteAlertChannel", { params: { tenant, channel } }),
  testChannel: (tenant: string, channel: string) =>
    call("testAlertChannel", { params: { tenant, channel } }),
  deliveries: (tenant: string, channel: string) =>
    call("listAlertDeliveries", { params: { tenant, channel } }),
  anomalyMetrics: (tenant: string) => call("listAnomalyMetrics", { params: { tenant } }),
  setAnomalyMetric: (tenant: string, body: Body<"setAnomalyMetric">) =>
    call("setAnomalyMetric", { params: { tenant }, body }),
  giveFeedback: (tenant: string, alert: string, useful: boolean) =>
    call("giveAlertFeedback", { params: { tenant, alert }, body: { useful } }),
  alertPolicy: (tenant: string) => call("getAlertPolicy", { params: { tenant } }),
  replaceAlertPolicy: (tenant: string, body: AlertPolicy) =>
    call("replaceAlertPolicy", { params: { tenant }, body }),
};

/** From which score on an alert is raised where nobody has said anything. */
const USUAL_SCORE = 0.6;
const FRESH_MS = 5_000;
const key = (tenant: string, ...rest: string[]) => ["tenant", tenant, "alerts", ...rest];

export const alertQuery = (t: string, id: string) =>
  queryOptions({
    queryKey: key(t, "one", id),
    queryFn: async () => {
      const [alert, history] = await Promise.all([
        alertingApi.alert(t, id),
        alertingApi.alertHistory(t, id),
      ]);
      return { alert, history: history.items };
    },
    refetchInterval: FRESH_MS,
  });

export const alertRulesQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "rules"),
    queryFn: () => alertingApi.alertRules(t),
    refetchInterval: FRESH_MS,
  });

export const silencesQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "silences"), queryFn: () => alertingApi.silences(t) });

export const channelsQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "channels"), queryFn: () => alertingApi.channels(t) });

export const deliveriesQuery = (t: string, channel: string) =>
  queryOptions({
    queryKey: key(t, "deliveries", channel),
    queryFn: () => alertingApi.deliveries(t, channel),
    refetchInterval: FRESH_MS,
  });

/** What people have said of metrics, and all others that the fleet has brought, as they are followed. */
export const anomalyMetricsQuery = (t: string) =>
  queryOptions({
    queryKey: key(t, "anomaly-metrics"),
    queryFn: async () => {
      const [rules, measured] = await Promise.all([
        alertingApi.anomalyMetrics(t),
        call("listFleetMetrics", { params: { tenant: t }, query: {} }),
      ]);
      const known = new Set(rules.items.map(({ metric }) => metric));
      const enabled = rules.items.find(({ metric }) => metric === "*")?.enabled ?? true;
      const others = measured.items.filter(({ metric }) => !known.has(metric));
      const usual = { enabled, threshold: USUAL_SCORE, useful: 0, notUseful: 0 };
      const items = [...rules.items, ...others.map(({ metric }) => ({ metric, ...usual }))];
      return { items: items.toSorted((a, b) => a.metric.localeCompare(b.metric)) };
    },
  });

const HOUR_MS = 3_600_000;
const BEFORE_MS = 3 * HOUR_MS;

/** What a metric did around a finding: of its device, or the median of the fleet. */
export const anomalySeriesQuery = (
  t: string,
  { metric, ts, deviceId }: { metric: string; ts: number; deviceId: string | undefined },
) =>
  queryOptions({
    queryKey: key(t, "finding", metric, String(ts), deviceId ?? ""),
    queryFn: async () => {
      const [from, to] = [ts - BEFORE_MS, Math.min(Date.now(), ts + HOUR_MS)];
      const query = { metric, from: String(from), to: String(to), points: 240 };
      if (deviceId !== undefined) {
        const params = { tenant: t, device: deviceId };
        return { from, to, points: (await call("getSeries", { params, query })).points };
      }
      const across = await call("getFleetSeries", {
        params: { tenant: t },
        query: { ...query, across: "p50" },
      });
      const values = across.series[0]?.points ?? [];
      const points = values.flatMap(([at, value]) =>
        typeof at === "number" && typeof value === "number"
          ? [{ ts: at, mean: value, min: value, max: value, count: 1 }]
          : [],
      );
      return { from, to, points };
    },
  });

export const alertPolicyQuery = (t: string) =>
  queryOptions({ queryKey: key(t, "policy"), queryFn: () => alertingApi.alertPolicy(t) });
