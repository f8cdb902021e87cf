import { confinementIn } from "../../kernel/confinement.ts";
import { AppError, type Clock } from "../../kernel/index.ts";
import { TtlCache } from "../../kernel/ttl-cache.ts";
import type { RetentionPolicy } from "../../protocol/index.ts";
import { whereKept } from "../../timeseries/index.ts";
import { readKnownMetrics, readKnownSeries } from "../latest-store.ts";
import type { MeaningsOf } from "../meanings.ts";
import { findMembers, type Member, type SelectionDeps } from "../selection.ts";
import type { Reader } from "../series-store.ts";
import { QUERY_LIMITS, type Source } from "../types.ts";
import type { Load, LoadSeries } from "./evaluate.ts";
import { labelsOf, matchingMetrics, promName, splitMatchers, testOf } from "./labels.ts";
import { inTurns } from "./patterns.ts";
import { MAX_SAMPLES, readSamples, type SampleQuery, type SampleRow } from "./samples-store.ts";
import type { Matcher } from "./syntax.ts";
import type { Labels } from "./vectors.ts";
import { COUNTER_FUNCTIONS, type Samples } from "./windows.ts";

export interface LoadingDeps extends SelectionDeps {
  timeseries: Reader;
  clock: Clock;
  retention(tenantId: string): Promise<RetentionPolicy>;
  meanings: MeaningsOf;
}

/** Labels and names change seldom, and one look at a dashboard asks for them twenty times. */
const KNOWN_FOR_MS = 10_000;
const TENANTS_KNOWN = 50;
const MAX_KNOWN_SERIES = 200_000;
/** So many are named in a query; of more, all that there are are looked at. */
const DEVICES_IN_QUERY = 1_000;

/** What somebody who is confined to groups sees is remembered for these groups alone. */
function viewOf(tenantId: string): string {
  return JSON.stringify([tenantId, confinementIn(tenantId)?.groups ?? null]);
}

export interface Chosen {
  tenantId: string;
  metrics: string[];
  members: Member[];
  /** Whether every device of the tenant is among them. */
  isAll: boolean;
}

/** What selectors mean in a tenant, and their samples. */
export class Loading {
  readonly #deps: LoadingDeps;
  readonly #members: TtlCache<Member[]>;
  readonly #metrics: TtlCache<string[]>;

  constructor(deps: LoadingDeps) {
    this.#deps = deps;
    const options = { clock: deps.clock, ttlMs: KNOWN_FOR_MS, maxEntries: TENANTS_KNOWN };
    this.#members = new TtlCache(options);
    this.#metrics = new TtlCache(options);
  }

  metrics(tenantId: string): Promise<string[]> {
    const { timeseries, clock } = this.#deps;
    return this.#metrics.load(viewOf(tenantId), () =>
      readKnownMetrics(timeseries, tenantId, clock.now()),
    );
  }

  /** Of all devices of the tenant, or of some alone. */
  async choose(
    tenantId: string,
    matchers: readonly Matcher[],
    only?: readonly string[],
  ): Promise<Chosen> {
    const { name, device } = splitMatchers(matchers);
    const metrics = await matchingMetrics(await this.metrics(tenantId), name);
    const meets = testOf(device);
    const exactly = device.find(({ label, operator }) => label === "device" && operator === "=");
    const some = exactly ? (only ?? [exactly.value]).filter((id) => id === exactly.value) : only;
    const candidates = some
      ? await findMembers(this.#deps, tenantId, { devices: some })
      : await this.#members.load(viewOf(tenantId), () => findMembers(this.#deps, tenantId, {}));
    const members: Member[] = [];
    await inTurns(candidates, (member) => {
      if (meets(labelsOf(member))) members.push(member);
    });
    return { tenantId, metrics, members, isAll: !some && members.length === candidates.length };
  }

  /**
   * Of each metric that is chosen the devices among those chosen that have spoken of it in a month. Where
   * there are too many series to look at, all devices stand for each.
   */
  async measuredBy({ tenantId, metrics, members }: Chosen): Promise<Map<string, Set<string>>> {
    const { timeseries, clock } = this.#deps;
    const all = members.map(({ id }) => id);
    if (metrics.length === 0 || all.length === 0) return new Map();
    const ids = all.length <= DEVICES_IN_QUERY ? all : null;
    const query = { metrics, ids, now: clock.now(), most: MAX_KNOWN_SERIES };
    const known = await readKnownSeries(timeseries, tenantId, query);
    const everyone = new Set(all);
    // Where all stand for each, it is one set for all metrics.
    if (!known) return new Map(metrics.map((metric) => [metric, everyone]));
    return new Map(
      metrics.flatMap((metric) => {
        const own = [...everyone.intersection(known.get(metric) ?? new Set())].sort();
        return own.length > 0 ? [[metric, new Set(own)]] : [];
      }),
    );
  }

  /** Loads for one query; all its selectors together stay within the bound. */
  loader(tenantId: string, only?: readonly string[]): LoadSeries {
    let loaded = 0;
    return async (load) => {
      const { metrics, members, isAll } = await this.choose(tenantId, load.matchers, only);
      if (metrics.length === 0 || members.length === 0) return [];
      const { source, take } = sourceOf(load);
      const policy = await this.#deps.retention(tenantId);
      const query: SampleQuery = {
        ...{ source, take, metrics, from: load.from, to: load.to },
        devices: isAll ? null : members.map(({ id }) => id),
        kept: whereKept(policy, LEVELS[source], this.#deps.clock.now()),
      };
      const rows = await readSamples(this.#deps.timeseries, tenantId, query);
      loaded += rows.length;
      if (loaded > MAX_SAMPLES) throw tooMuch(`more than ${MAX_SAMPLES} samples`);
      return seriesOf(rows, members, query);
    };
  }
}

const LEVELS = { raw: "points", "1m": "minutes", "1h": "hours", "1d": "days" } as const;

const NEEDS_POINTS = [
  ...["quantile_over_time", "stddev_over_time", "stdvar_over_time", "irate", "idelta"],
  ...["changes", "resets", "deriv", "predict_linear", "timestamp"],
];
const LEAST_BUCKETS_OF_A_COUNTER = 5;
const ROLLUPS: { source: Exclude<Source, "raw">; widthMs: number }[] = [
  { source: "1d", widthMs: 86_400_000 },
  { source: "1h", widthMs: 3_600_000 },
  { source: "1m", widthMs: 60_000 },
];

/** The coarsest rollup whose buckets fit whole into every window. */
export function sourceOf({
  use,
  from,
  to,
  stepMs,
  rangeMs,
}: Load): Pick<SampleQuery, "source" | "take"> {
  const take = takeOf(use);
  const isCounter = use !== null && COUNTER_FUNCTIONS.includes(use);
  const rollup = ROLLUPS.find(
    ({ widthMs }) =>
      stepMs > 0 &&
      [stepMs, rangeMs, from, to].every((ms) => ms % widthMs === 0) &&
      rangeMs / widthMs >= (isCounter || use === null ? LEAST_BUCKETS_OF_A_COUNTER : 1),
  );
  const served = rollup && !(use !== null && NEEDS_POINTS.includes(use));
  return { source: served ? rollup.source : "raw", take };
}

function takeOf(use: string | null): SampleQuery["take"] {
  if (use !== null && COUNTER_FUNCTIONS.includes(use)) return "ends";
  if (use === "min_over_time") return "min";
  if (use === "max_over_time") return "max";
  return use === null ||
    use === "timestamp" ||
    use === "last_over_time" ||
    use === "present_over_time"
    ? "last"
    : "sum";
}

function seriesOf(
  rows: readonly SampleRow[],
  members: readonly Member[],
  { source, take }: SampleQuery,
): { labels: Labels; samples: Samples }[] {
  const known = new Map(members.map((member) => [member.id, member]));
  const series: { labels: Labels; samples: Samples }[] = [];
  let current = "";
  for (const { d, m, t, v, c } of rows) {
    const member = known.get(d);
    if (!member || v === null) continue;
    if (`${d}\n${m}` !== current) {
      current = `${d}\n${m}`;
      const counts = source !== "raw" && take === "sum" ? { counts: [] } : {};
      const labels = { __name__: promName(m), ...labelsOf(member) };
      series.push({ labels, samples: { times: [], values: [], ...counts } });
    }
    const samples = series.at(-1)?.samples;
    // The only value of a bucket is its first and its last.
    if (!samples || samples.times.at(-1) === t) continue;
    samples.times.push(t);
    samples.values.push(v);
    samples.counts?.push(c);
  }
  if (series.length > QUERY_LIMITS.series * 10) {
    throw tooMuch(`${series.length} series, at most ${QUERY_LIMITS.series * 10}`);
  }
  return series;
}

function tooMuch(what: string): AppError {
  return new AppError(
    "query-too-expensive",
    `the query would load ${what}: choose fewer devices, a shorter time or a wider step`,
  );
}
