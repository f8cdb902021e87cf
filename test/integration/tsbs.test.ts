import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { type About, type AnswerRow, TRUCK_QUESTIONS } from "../../bench/tsbs-queries.ts";
import {
  TRUCK_PRODUCT,
  type TruckMessage,
  truckMessages,
  trucksOf,
} from "../../bench/tsbs-trucks.ts";
import { systemClock } from "../../src/kernel/index.ts";
import { createDeclaredMetrics, createTelemetry } from "../../src/telemetry/index.ts";
import { createTestTimeseries, type TestTimeseries } from "../support/timeseries.ts";
import { TruckReference } from "../support/tsbs-reference.ts";

const TENANT = "acme";
/** Two days that are over, from a midnight on. */
const START = (Math.floor(Date.now() / 86_400_000) - 3) * 86_400_000;
const OPTIONS = { seed: 7, trucks: 12, start: START, hours: 26, everyMs: 300_000 };
const trucks = trucksOf(OPTIONS);
const fleets = [...new Set(trucks.map(({ fleet }) => fleet))];
const END = START + OPTIONS.hours * 3_600_000;
const messages = [...truckMessages(OPTIONS)];
const reference = new TruckReference(messages);

/** A fleet, and a time of the day, of which there is something to say. */
function aboutFor(name: string): About {
  for (let end = END; end > START; end -= 600_000) {
    for (const fleet of fleets) {
      const about = { trucks, fleet, end };
      if (reference.answer(name, about).length > 0) return about;
    }
  }
  throw new Error(`${name} has nothing to answer: take another seed`);
}

let store: TestTimeseries;
beforeAll(async () => {
  store = await createTestTimeseries();
  const { timeseries } = store;
  const telemetry = createTelemetry({
    ...{ timeseries, clock: systemClock },
    declared: createDeclaredMetrics({
      clock: systemClock,
      productsOf: async () => [TRUCK_PRODUCT],
      productByDevice: async (_tenantId, ids) => new Map(ids.map((id) => [id, "truck"])),
    }),
  });
  // A backlog's message holds many samples.
  await Promise.all(
    [...Map.groupBy(messages, (message) => message.truck)].flatMap(([deviceId, own]) =>
      inChunks(own).map((chunk) =>
        telemetry.ingestTelemetry({ tenantId: TENANT, deviceId }, chunk.map(sampleOf), Date.now()),
      ),
    ),
  );
  await telemetry.close();
  const isRolledUp = async () => (await timeseries.rolledUpTo()) > 0;
  while (!(await isRolledUp())) await timeseries.rollUp();
  await timeseries.rollUp();
});
afterAll(() => store.close());

const SAMPLES_PER_MESSAGE = 200;

function inChunks(messages: readonly TruckMessage[]): TruckMessage[][] {
  const chunks: TruckMessage[][] = [];
  for (let start = 0; start < messages.length; start += SAMPLES_PER_MESSAGE) {
    chunks.push(messages.slice(start, start + SAMPLES_PER_MESSAGE));
  }
  return chunks;
}

function sampleOf({ ts, seq, values }: TruckMessage) {
  return { ts, seq, values };
}

const inOrder = (rows: readonly AnswerRow[]) =>
  rows
    .map(({ k, day, v, w }) => ({ k, day: day ?? null, v: v ?? null, w: w ?? null }))
    .sort(
      (left, right) => (left.k < right.k ? -1 : left.k > right.k ? 1 : 0) || order(left, right),
    );
const order = (left: { day: number | null }, right: { day: number | null }) =>
  (left.day ?? 0) - (right.day ?? 0);

describe("TSBS' questions about trucks", () => {
  it.each(TRUCK_QUESTIONS.map((question) => [question.name, question] as const))(
    "%s is answered as by a slow reading of every message",
    async (name, question) => {
      const about = aboutFor(name);
      const rows = await store.timeseries.tenantQuery<AnswerRow>(TENANT, question.query(about));
      const wanted = inOrder(reference.answer(name, about));
      const found = inOrder(rows);
      expect(found.map(({ k, day }) => [k, day])).toEqual(wanted.map(({ k, day }) => [k, day]));
      for (const [index, { v, w }] of found.entries()) {
        expect(v ?? 0).toBeCloseTo(wanted[index]?.v ?? 0, 9);
        expect(w ?? 0).toBeCloseTo(wanted[index]?.w ?? 0, 9);
      }
    },
  );
});
