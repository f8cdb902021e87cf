import fc from "fast-check";
import { beforeAll, describe, expect, it } from "vitest";
import { AppError, isAppError, LIMITS, systemClock } from "../../src/kernel/index.ts";
import type { DeclaredProduct } from "../../src/protocol/index.ts";
import { createDeclaredMetrics, createTelemetry } from "../../src/telemetry/index.ts";
import { PlainSample } from "../../src/telemetry/plain-sample.ts";
import type { PointColumns, Timeseries } from "../../src/timeseries/index.ts";

const NOW = Date.UTC(2026, 10, 30);
const NAMES = ["temperature", "t", "a.b/c-d:e", "_x", "__proto__", "constructor", "Ab", "aB", "C#"];
const peer = { tenantId: "acme", deviceId: "d-1" };

/** A store that keeps what it is given, as bytes: those of an INSERT. */
function storeOf() {
  const blocks: string[] = [];
  const insertPoints = async (points: PointColumns) => {
    blocks.push(
      ...points.encode().map(({ target, block }) => `${target} ${block.toString("hex")}`),
    );
  };
  return { blocks, timeseries: { insertPoints } as unknown as Timeseries };
}

const PRODUCT: DeclaredProduct = {
  product: "hub",
  metrics: [
    { name: "temperature", type: "number", minimum: -40, maximum: 85, decimals: 1 },
    { name: "Ab", type: "integer" },
    { name: "_x", type: "string" },
  ],
  slots: [{ slot: 1, name: "temperature", decimals: 1, from: 0 }],
};

async function modules(product: DeclaredProduct | undefined) {
  const declared = createDeclaredMetrics({
    clock: systemClock,
    productsOf: async () => (product ? [product] : []),
    productByDevice: async (_tenantId, ids) => new Map(ids.map((id) => [id, "hub"])),
  });
  await declared.of(peer.tenantId, peer.deviceId);
  const [quick, long] = [storeOf(), storeOf()];
  const [offered, asked] = [quick, long].map(({ timeseries }) =>
    createTelemetry({ timeseries, clock: systemClock, declared, batchDelayMs: 0 }),
  );
  return { quick, long, offered, asked } as {
    quick: typeof quick;
    long: typeof long;
    offered: NonNullable<typeof offered>;
    asked: NonNullable<typeof asked>;
  };
}

/** A number as devices write it, and as they should not. */
const numberText = fc.oneof(
  fc.integer().map(String),
  fc.double({ noNaN: true, noDefaultInfinity: true }).map((value) => JSON.stringify(value)),
  fc.tuple(fc.integer(), fc.nat(99_999)).map(([whole, part]) => `${whole}.${part}`),
  fc.stringMatching(/^-?\d{1,20}(\.\d{1,20})?([eE][+-]?\d{1,3})?$/),
  fc.constantFrom("-0", "0.0", "-", "1.", ".5", "01", "+1", "1e", "1e999", "NaN", "null", "true"),
  fc.constantFrom('"21.5"', "{}", "[1]", '{"lat":1,"lon":2}', ""),
);
const space = fc.constantFrom("", "", "", " ", "  ", "\n", "\t");
const name = fc.oneof(
  { weight: 9, arbitrary: fc.constantFrom(...NAMES) },
  {
    weight: 1,
    arbitrary: fc.constantFrom("12", "_platform.x", "", "bad name", "ü", 'a\\"b', "\\u0061"),
  },
);
const values = fc
  .array(fc.tuple(name, numberText, space), { maxLength: 6 })
  .map((all) => `{${all.map(([key, text, gap]) => `"${key}"${gap}:${gap}${text}`).join(`,`)}}`);
const head = fc.oneof(
  { weight: 8, arbitrary: fc.constant([String(NOW), "7"]) },
  {
    weight: 2,
    arbitrary: fc.tuple(
      fc.constantFrom("1", String(NOW + 1e9), String(NOW - 3_600_000), "1.5", '"x"', "1e300"),
      fc.constantFrom("7", "-1", "1.5", "null", "9007199254740993"),
    ),
  },
);
const message = fc
  .tuple(head, values, space, fc.constantFrom(0, 0, 0, 1, 2, 3, 4, 5, 6))
  .map(([[ts, seq], inner, gap, shape]) => {
    const usual = [`"ts":${gap}${ts}`, `"seq":${seq}`, `"values":${gap}${inner}`];
    const [first, second, third] = usual as [string, string, string];
    const members = [
      usual,
      [second, first, third],
      [third, first, second],
      [first, ...usual],
      [...usual, '"more":1'],
      [first, third],
      [first, second, third, third],
    ][shape] as string[];
    return `{${gap}${members.join(`,${gap}`)}}${gap}`;
  });

describe("telemetry that is offered as it came", () => {
  for (const product of [undefined, PRODUCT]) {
    it(`becomes the very rows that JSON.parse gives${product ? ", where names are declared" : ""}`, async () => {
      const { quick, long, offered, asked } = await modules(product);
      const parsed = (text: string) => {
        try {
          return JSON.parse(text) as unknown;
        } catch (cause) {
          throw new AppError("message-invalid", "no JSON", {}, { cause });
        }
      };
      const outcome = async (work: () => Promise<unknown>) => {
        try {
          return await work();
        } catch (error) {
          if (!isAppError(error, "message-invalid")) throw error;
          return error.details;
        }
      };
      await fc.assert(
        fc.asyncProperty(fc.array(message, { minLength: 1, maxLength: 4 }), async (texts) => {
          quick.blocks.length = 0;
          long.blocks.length = 0;
          const all = texts.map(async (text) => {
            const [one, other] = await Promise.all([
              outcome(async () => {
                const got = offered.offerTelemetry(peer, Buffer.from(text), undefined, NOW);
                if (got instanceof Promise) return got;
                await got.durable;
                return got.taken;
              }),
              outcome(async () => asked.ingestTelemetry(peer, parsed(text), NOW)),
            ]);
            expect(one).toEqual(other);
          });
          await Promise.all(all);
          expect(quick.blocks).toEqual(long.blocks);
        }),
        { numRuns: 500 },
      );
    });
  }
});

describe("a plain sample", () => {
  let plain: PlainSample;
  beforeAll(() => {
    plain = new PlainSample();
    for (const one of NAMES) plain.learn(one);
  });
  const read = (text: string) => plain.read(Buffer.from(text));

  it("is read where its names are known, and without a copy of what it says", () => {
    expect(read('{"ts":1790000000000,"seq":3,"values":{"t":-21.50,"Ab":1e3}}')).toBe(true);
    expect([plain.ts, plain.seq, plain.count]).toEqual([1_790_000_000_000, 3, 2]);
    expect(plain.names.slice(0, 2)).toEqual(["t", "Ab"]);
    expect([...plain.values.subarray(0, 2)]).toEqual([-21.5, 1_000]);
  });

  it("gives every number that JSON.parse gives, to the last bit", () => {
    fc.assert(
      fc.property(numberText, (text) => {
        const isRead = read(`{"ts":1,"seq":1,"values":{"t":${text}}}`);
        if (isRead) expect(plain.values[0]).toBe(JSON.parse(text));
      }),
      { numRuns: 2_000 },
    );
  });

  it.each([
    ["a name twice", '{"ts":1,"seq":1,"values":{"t":1,"t":2}}'],
    ["a name that nobody knows", '{"ts":1,"seq":1,"values":{"unknown":1}}'],
    ["no value", '{"ts":1,"seq":1,"values":{}}'],
    ["something behind it", '{"ts":1,"seq":1,"values":{"t":1}} '],
    ["something before it", ' x{"ts":1,"seq":1,"values":{"t":1}}'],
    ["an array", '[{"ts":1,"seq":1,"values":{"t":1}}]'],
    ["an end that is missing", '{"ts":1,"seq":1,"values":{"t":1}'],
    ["a member twice", '{"ts":1,"ts":2,"seq":1,"values":{"t":1}}'],
    ["nothing", ""],
  ])("leaves %s to JSON.parse", (_what, text) => {
    expect(read(text)).toBe(false);
  });

  it("is cut off at every byte without being taken for whole", () => {
    const text = '{"ts":1790000000000,"seq":3,"values":{"temperature":21.5,"t":-1,"Ab":2}}';
    for (let end = 0; end < text.length; end += 1) expect(read(text.slice(0, end))).toBe(false);
    expect(read(text)).toBe(true);
  });

  it("has no more values than a sample may have, and remembers so many names and no more", () => {
    const wide = new PlainSample();
    const names = Array.from({ length: LIMITS.telemetryMetricsPerSample + 1 }, (_, at) => `m${at}`);
    for (const one of names) wide.learn(one);
    const sample = (count: number) =>
      Buffer.from(
        `{"ts":1,"seq":1,"values":{${names.slice(0, count).map((one) => `"${one}":1`)}}}`,
      );
    expect(wide.read(sample(names.length - 1))).toBe(true);
    expect(wide.read(sample(names.length))).toBe(false);
    for (let at = 0; at < 30_000; at += 1) wide.learn(`more-${at}`);
    expect(wide.read(Buffer.from('{"ts":1,"seq":1,"values":{"more-29999":1}}'))).toBe(false);
    expect(wide.read(sample(3))).toBe(true);
  });

  it("does not become slow by names that were made to be alike", () => {
    // "Aa" and "BB" have one key, and so has every word that is put together from them.
    const alike = Array.from({ length: 4_096 }, (_, at) =>
      at.toString(2).padStart(12, "0").replaceAll("0", "Aa").replaceAll("1", "BB"),
    );
    const crowded = new PlainSample();
    for (const one of alike) crowded.learn(one);
    const known = alike.filter((one) =>
      crowded.read(Buffer.from(`{"ts":1,"seq":1,"values":{"${one}":1}}`)),
    );
    expect(known.length).toBeLessThanOrEqual(8);
  });
});
