import { TENANTS, VERSIONS } from "./cast.ts";
import { type Stage, waitFor } from "./stage.ts";

export interface Outcome {
  /** Whether the story came out as it should; each failed expectation is named. */
  problems: string[];
}

const BAD_TENANT = "acme";
const MAX_PAGES = 100;
const HEARTBEATS_MS = 60_000;

/** The table at the end: every figure is asked of the platform's stores, none was counted here. */
export async function tellSummary(
  stage: Stage,
  facts: { goodRollouts: Map<string, string>; badRolloutId: string; devices: number },
): Promise<Outcome> {
  const { api, narrator } = stage;
  const problems: string[] = [];
  const expect = (holds: boolean, claim: string) => {
    if (!holds) problems.push(claim);
  };

  let updated = 0;
  let bytesDownloaded = 0;
  let bytesFull = 0;
  for (const [tenant, id] of facts.goodRollouts) {
    const view = await api.call("getRollout", { params: { tenant, rollout: id } });
    updated += view.totals.succeeded;
    bytesDownloaded += view.bytesDownloaded;
    bytesFull += view.bytesFull;
  }
  const badRollout = { tenant: BAD_TENANT, rollout: facts.badRolloutId };
  const bad = await api.call("getRollout", { params: badRollout });
  const exposed = await countDevices(stage, badRollout);
  const secondsToPause = seconds(bad.startedAt, bad.pausedAt);
  const secondsBack = seconds(bad.pausedAt, bad.finishedAt);
  // What a device runs is told by its heartbeats, the next of which may still be on its way.
  const onGood = await waitFor(
    async () => (await countVersions(stage)).get(VERSIONS.good) ?? 0,
    (count) => count === facts.devices,
    HEARTBEATS_MS,
    `${facts.devices} devices on ${VERSIONS.good}`,
  );

  expect(updated === facts.devices, `${updated} of ${facts.devices} devices were updated`);
  expect(
    onGood === facts.devices,
    `${onGood} of ${facts.devices} devices run ${VERSIONS.good} at the end`,
  );
  expect(exposed >= 1 && exposed <= 5, `${exposed} devices had the bad image`);
  expect(bytesDownloaded > 0 && bytesDownloaded < bytesFull / 2, "deltas saved less than half");
  expect(Number.isFinite(secondsToPause), "the bad rollout has no time of its pause");
  expect(Number.isFinite(secondsBack), "the rollback has no time of its end");

  narrator.table([
    ["devices updated", `${updated} of ${facts.devices}`],
    ["bytes sent to them", `${megabytes(bytesDownloaded)} instead of ${megabytes(bytesFull)}`],
    ["saved by deltas", `${(100 * (1 - bytesDownloaded / bytesFull)).toFixed(1)} %`],
    ["devices that had the bad image", `${exposed} of ${bad.totals.devices}`],
    ["time to pause", `${secondsToPause.toFixed(1)} s`],
    ["from the pause to the good version again", `${secondsBack.toFixed(1)} s`],
    [`devices that run ${VERSIONS.good} now`, `${onGood} of ${facts.devices}`],
  ]);
  return { problems };
}

/** Devices that were given the bad image, whatever became of it. */
async function countDevices(
  { api }: Stage,
  params: { tenant: string; rollout: string },
): Promise<number> {
  const items = await listAll((query) => api.call("listRolloutDevices", { params, query }));
  const untouched = ["pending", "withdrawn", "offered", "rejected"];
  return items.filter((item) => !untouched.includes(item.state)).length;
}

async function countVersions({ api }: Stage): Promise<Map<string, number>> {
  const versions = new Map<string, number>();
  for (const { id: tenant } of TENANTS) {
    const params = { tenant };
    for (const device of await listAll((query) => api.call("listDevices", { params, query }))) {
      const version = device.firmware?.version ?? "unknown";
      versions.set(version, (versions.get(version) ?? 0) + 1);
    }
  }
  return versions;
}

/** Every item of a list, page by page. */
async function listAll<Item>(
  list: (page: { limit: number; cursor?: string }) => Promise<{
    items: Item[];
    nextCursor: string | null;
  }>,
): Promise<Item[]> {
  const items: Item[] = [];
  let cursor: string | null = null;
  for (let page = 0; page < MAX_PAGES; page += 1) {
    const answer = await list({ limit: 200, ...(cursor ? { cursor } : {}) });
    items.push(...answer.items);
    cursor = answer.nextCursor;
    if (!cursor) break;
  }
  return items;
}

function seconds(from: string | null, to: string | null): number {
  return from && to ? (Date.parse(to) - Date.parse(from)) / 1000 : Number.NaN;
}

function megabytes(bytes: number): string {
  return `${(bytes / 1e6).toFixed(1)} MB`;
}
