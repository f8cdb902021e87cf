import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { PointColumns } from "../../src/timeseries/index.ts";

type Point = [tenant: number, device: number, name: number, ts: number];

const TENANTS = ["acme", "beta"];
const DEVICES = ["d-1", "d-10", "D-2", "z"];
const NAMES = ["temperature", "a.b", "Ab"];
const point = fc.tuple(fc.nat(1), fc.nat(3), fc.nat(2), fc.constantFrom(5, 2 ** 32, 2 ** 40 + 1));
/** Many rows of few texts, as a gateway has them, most often in the order of time. */
const points = fc
  .tuple(fc.boolean(), fc.array(point, { minLength: 1, maxLength: 120, size: "max" }))
  .map(([isInOrder, all]) =>
    all.map(([tenant, device, name, ts], at): Point => {
      return [tenant, device, name, isInOrder ? 2 ** 32 - 60 + at : ts];
    }),
  );

const compare = (one: string, other: string) => (one < other ? -1 : one > other ? 1 : 0);

/** The rows by the sort key; rows of one key in the order in which they came. */
function byKey(all: readonly Point[], names: readonly string[]): [Point, number][] {
  const numbered = all.map((one, index): [Point, number] => [one, index]);
  return numbered.sort(
    ([a], [b]) =>
      compare(TENANTS[a[0]] as string, TENANTS[b[0]] as string) ||
      compare(DEVICES[a[1]] as string, DEVICES[b[1]] as string) ||
      compare(names[a[2]] as string, names[b[2]] as string) ||
      a[3] - b[3],
  );
}

function narrow(rows: readonly [Point, number][]): PointColumns {
  const columns = new PointColumns();
  for (const [[tenant, device, name, ts], index] of rows) {
    const [tenantId, deviceId] = [TENANTS[tenant] as string, DEVICES[device] as string];
    columns.add(tenantId, deviceId, NAMES[name] as string, ts, index, index / 4, index % 3);
  }
  return columns;
}

function wide(rows: readonly [Point, number][]): PointColumns {
  const columns = new PointColumns();
  for (const [[tenant, device, product, ts], index] of rows) {
    const [tenantId, deviceId] = [TENANTS[tenant] as string, DEVICES[device] as string];
    columns.wide.begin(tenantId, deviceId, NAMES[product] as string, `l${index % 2}`, ts, index);
    columns.wide.set(1 + (index % 5), index);
  }
  return columns;
}

/** What stands in a block, whatever the order of its dictionaries: rows of texts and numbers. */
function rowsOf(block: Buffer): unknown[][] {
  let at = 0;
  const varint = () => {
    let value = 0;
    for (let shift = 0; ; shift += 7) {
      const byte = block[at++] as number;
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
  };
  const text = () => {
    const size = varint();
    at += size;
    return block.toString("utf8", at - size, at);
  };
  const eight = () => {
    at += 8;
    return block.readBigUInt64LE(at - 8);
  };
  const [width, rows] = [varint(), varint()];
  const columns = Array.from({ length: width }, () => {
    text();
    const type = text();
    if (!type.startsWith("LowCardinality")) {
      const empty = type.startsWith("Nullable") ? block.subarray(at, at + rows) : undefined;
      at += empty?.length ?? 0;
      return Array.from({ length: rows }, (_, row) => [empty?.[row], eight()]);
    }
    at += 16;
    const texts = Array.from({ length: Number(eight()) }, text);
    const indexes = block.subarray(at + 8, at + 8 + rows);
    at += 8 + rows;
    return [...indexes].map((index) => texts[index]);
  });
  expect(at).toBe(block.length);
  return Array.from({ length: rows }, (_, row) => columns.map((column) => column[row]));
}

describe("rows on their way to the store", () => {
  for (const [kind, build] of [
    ["narrow", narrow],
    ["wide", wide],
  ] as const) {
    it(`are sorted by the key of the table, ${kind}`, () => {
      fc.assert(
        fc.property(points, (all) => {
          const came = all.map((one, index): [Point, number] => [one, index]);
          const [block] = build(came).encode({ isSorted: true });
          const rows = rowsOf(block?.block as Buffer);
          const asCame = rowsOf(build(came).encode()[0]?.block as Buffer);
          const sorted = rowsOf(build(byKey(all, NAMES)).encode()[0]?.block as Buffer);
          // Where it is not cheap, or times of one series go back, they stay as they came.
          expect(rows).toEqual(isCheap(all) && !goesBack(all) ? sorted : asCame);
        }),
        { numRuns: 100 },
      );
    });
  }
});

function isCheap(all: readonly Point[]): boolean {
  const counts = [0, 1, 2].map((place) => new Set(all.map((one) => one[place])).size);
  return counts.every((count) => count * 4 <= all.length);
}

function goesBack(all: readonly Point[]): boolean {
  const last = new Map<string, number>();
  return all.some(([tenant, device, name, ts]) => {
    const series = `${tenant}/${device}/${name}`;
    const before = last.get(series) ?? 0;
    last.set(series, ts);
    return ts < before;
  });
}
