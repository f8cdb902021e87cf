import fc from "fast-check";
import { describe, expect, it } from "vitest";
import { linesOf, scoreStream } from "../../src/health/score-stream.ts";
import {
  expectedValue,
  REFRACTORY_POINTS,
  STATE_BYTES,
  STATE_LENGTH,
  scoreNext,
} from "../../src/health/series-detector.ts";
import { SeriesSlab } from "../../src/health/series-slab.ts";
import { type Random, seededRandom } from "../../src/kernel/index.ts";

const START = Date.UTC(2026, 0, 5);
const MINUTE = 60_000;
/** Scores from here on are alerts. */
const ALERT = 0.6;

/** Normal by Box and Muller. */
function gaussian(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

function scores(values: readonly number[], stepMs = MINUTE): number[] {
  const state = new Float32Array(STATE_LENGTH);
  return values.map((value, index) => scoreNext(state, 0, START + index * stepMs, value));
}

const noisy = (seed: number, length: number, shape: (index: number) => number = () => 0) => {
  const random = seededRandom(seed);
  return Array.from({ length }, (_, index) => shape(index) + gaussian(random));
};

describe("the anomaly detector", () => {
  it("fits its state of a series into 256 bytes", () => {
    expect(STATE_BYTES).toBeLessThanOrEqual(256);
  });

  it("does not look ahead: a prefix scores the same with and without what follows", () => {
    const value = fc.oneof(
      fc.double({ min: -1e6, max: 1e6, noNaN: true }),
      fc.constant(Number.NaN),
    );
    fc.assert(
      fc.property(fc.array(value, { maxLength: 300 }), fc.nat(300), (values, cut) => {
        expect(scores(values).slice(0, cut)).toEqual(scores(values.slice(0, cut)));
      }),
      { numRuns: 50 },
    );
  });

  it("scores from 0 to 1 whatever it is fed", () => {
    fc.assert(
      fc.property(fc.array(fc.double(), { maxLength: 200 }), (values) => {
        for (const score of scores(values)) {
          expect(score).toBeGreaterThanOrEqual(0);
          expect(score).toBeLessThanOrEqual(1);
        }
      }),
    );
  });

  it("reports within the refractory period only what is more unusual than the last report", () => {
    fc.assert(
      fc.property(fc.integer(), fc.array(fc.nat(40), { maxLength: 30 }), (seed, bumps) => {
        const values = noisy(seed, 1_500);
        for (const [index, bump] of bumps.entries()) values[200 + index * 40] = bump;
        let last = { index: Number.NEGATIVE_INFINITY, score: 0 };
        for (const [index, score] of scores(values).entries()) {
          if (score === 0) continue;
          if (index - last.index <= REFRACTORY_POINTS) {
            expect(score).toBeGreaterThan(last.score);
          }
          last = { index, score };
        }
      }),
      { numRuns: 40 },
    );
  });

  it("finds a spike, a shift, a lost rhythm and a burst of noise", () => {
    const day = (index: number) => 5 * Math.sin((2 * Math.PI * index) / 1440);
    const found = (values: number[], from: number, to: number) =>
      Math.max(...scores(values).slice(from, to));
    for (let seed = 1; seed <= 5; seed += 1) {
      const spike = noisy(seed, 6_000);
      spike[5_000] = 15;
      expect(found(spike, 5_000, 5_003)).toBeGreaterThan(ALERT);
      const shift = noisy(seed, 6_000, (index) => (index >= 5_000 ? 5 : 0));
      expect(found(shift, 5_000, 5_060)).toBeGreaterThan(ALERT);
      const stopped = noisy(seed, 9_000, (index) => (index >= 8_000 ? day(8_000) : day(index)));
      expect(found(stopped, 8_000, 9_000)).toBeGreaterThan(found(stopped, 6_000, 8_000));
      const burst = noisy(seed, 6_000).map((value, index) => (index >= 5_000 ? value * 6 : value));
      expect(found(burst, 5_000, 5_100)).toBeGreaterThan(ALERT);
    }
  });

  it("finds what creeps, by less in an hour than its noise", () => {
    const since = 4_000;
    const drift = (index: number) => Math.min(12, Math.max(0, index - since) * 0.03);
    for (const seed of [11, 12, 13, 14]) {
      const found = scores(noisy(seed, since + 600, drift), 5 * MINUTE).map(
        (score) => score >= 0.6,
      );
      expect(found.indexOf(true), `seed ${seed}`).toBeGreaterThan(since);
    }
  });

  it("finds a value that stands where it never stood for long, and not one that often does", () => {
    const stuck = (base: (index: number) => number) => {
      const values = Array.from({ length: 5_000 }, (_, index) => base(Math.min(index, 4_000)));
      return Math.max(...scores(values, 5 * MINUTE).slice(4_000, 4_200));
    };
    const values = noisy(3, 5_000);
    expect(stuck((index) => values[index] as number)).toBeGreaterThan(ALERT);
    expect(stuck((index) => (index % 400 < 300 ? 0 : (values[index] as number)))).toBeLessThan(
      ALERT,
    );
  });

  it("finds what lies between what a series does: levels of a cycle, steps of a sawtooth", () => {
    const since = 3_000;
    const first = (
      shape: (index: number) => number,
      fault: (value: number, at: number) => number,
    ) => {
      const values = noisy(21, since + 200, shape).map((value, index) =>
        index < since ? value : fault(value, index - since),
      );
      const found = scores(values, 5 * MINUTE);
      expect(Math.max(...found.slice(1_000, since))).toBeLessThan(ALERT);
      return found.slice(since).findIndex((score) => score >= ALERT);
    };
    const cycle = (index: number) => (index % 9 < 3 ? 40 : 5);
    const teeth = (index: number) => 180 - (index % 216) / 2;
    expect(first(cycle, (value) => value)).toBe(-1);
    expect(first(cycle, (value, at) => (at === 5 ? value + 12 : value))).toBe(5);
    expect(first(teeth, (value) => value)).toBe(-1);
    expect(first(teeth, (value, at) => (at === 50 ? value + 14 : value))).toBe(50);
    expect(first(teeth, (value, at) => (at < 50 ? value : 120))).toBeGreaterThanOrEqual(50);
    expect(first(cycle, (value, at) => (at < 50 ? value : 5))).toBeGreaterThan(50);
  });

  it("says nothing of a value that never moves, from its beginning or after one jump", () => {
    for (const jump of [Number.POSITIVE_INFINITY, 1, 40, 350, 2_000]) {
      const values = Array.from({ length: 12_000 }, (_, index) => (index < jump ? 0 : 5));
      const found = scores(values, 5 * MINUTE).map((score) => score >= ALERT);
      found[jump] = false;
      expect(found.indexOf(true), `a jump at ${jump}`).toBe(-1);
    }
  });

  it("takes for usual what it has seen once in a gap", () => {
    const cycle = (index: number) => (index % 9 < 3 ? 40 : 5) + (index % 700 === 699 ? 12 : 0);
    const alerts = scores(noisy(22, 6_000, cycle), 5 * MINUTE).filter((score) => score >= ALERT);
    expect(alerts.length).toBeLessThanOrEqual(1);
  });

  it("takes a total for how fast it grows, over resets and gaps", () => {
    const random = seededRandom(4);
    const state = new Float32Array(STATE_LENGTH);
    let total = 8e9;
    let at = START;
    const next = (growth: number, minutes = 1) => {
      total += minutes * (growth + 50 * gaussian(random));
      at += minutes * MINUTE;
      return scoreNext(state, 0, at, total);
    };
    for (let index = 0; index < 6_000; index += 1) {
      if (index % 1_500 === 1_400) total = 0;
      const score = next(1_000, index % 500 === 499 ? 30 : 1);
      expect(score, `point ${index}`).toBeLessThan(ALERT);
    }
    const before = total;
    expect(next(3_000)).toBeGreaterThan(ALERT);
    expect(expectedValue(state, 0) - before).toBeGreaterThan(800);
    expect(expectedValue(state, 0) - before).toBeLessThan(1_200);
  });

  it("gives up to take for a total what falls again and again", () => {
    const wave = (index: number) => 20 + 10 * Math.sin((2 * Math.PI * index) / 720);
    const values = Array.from({ length: 6_000 }, (_, index) => wave(index));
    values[5_500] = 60;
    expect(Math.max(...scores(values).slice(5_499, 5_503))).toBeGreaterThan(ALERT);
  });

  it("knows the weekend after it has seen some", () => {
    const values = noisy(6, 288 * 35, (index) => {
      const isWeekend = Math.floor(index / 288) % 7 > 4;
      return (isWeekend ? 2 : 16) * Math.max(0, Math.sin((2 * Math.PI * index) / 288));
    });
    const state = new Float32Array(STATE_LENGTH);
    let off = 0;
    for (const [index, value] of values.entries()) {
      scoreNext(state, 0, START + index * 5 * MINUTE, value);
      if (index >= 288 * 33) off = Math.max(off, Math.abs(expectedValue(state, 0) - value));
    }
    expect(off).toBeLessThan(7);
  });

  it("tells bytes by the thousand million apart", () => {
    const values = noisy(7, 3_000).map((value) => 6e11 + 1e11 * value);
    values[2_900] = 3e12;
    expect(Math.max(...scores(values).slice(2_900, 2_902))).toBeGreaterThan(ALERT);
  });

  it("says nothing before it knows a series", () => {
    expect(scores(noisy(8, 40)).every((score) => score === 0)).toBe(true);
  });

  it("raises at most one alert on a quiet series in thirty days", () => {
    const minutes = 30 * 1440;
    const day = (index: number) => 3 * Math.sin((2 * Math.PI * index) / 1440);
    const drift = { value: 0 };
    const kinds: ((seed: number) => number[])[] = [
      (seed) => noisy(seed, minutes),
      (seed) => noisy(seed, minutes, day),
      (seed) => noisy(seed, minutes, () => 1e9),
      (seed) => {
        drift.value = 0;
        return noisy(seed, minutes).map((step) => {
          drift.value = 0.95 * drift.value + step;
          return drift.value;
        });
      },
      () => new Array<number>(minutes).fill(7),
    ];
    for (const [kind, make] of kinds.entries()) {
      for (let seed = 1; seed <= 4; seed += 1) {
        const alerts = scores(make(seed)).filter((score) => score >= ALERT).length;
        expect(alerts, `kind ${kind}, seed ${seed}`).toBeLessThanOrEqual(1);
      }
    }
  });

  it("keeps many series apart in one slab, up to its bound", () => {
    const slab = new SeriesSlab(3_000);
    const values = noisy(1, 120);
    const alone = scores(values);
    for (const [index, value] of values.entries()) {
      const answers = new Set<number | undefined>();
      for (let series = 0; series < 3_000; series += 1) {
        answers.add(slab.score(`s${series}`, START + index * MINUTE, value));
      }
      expect([...answers]).toEqual([alone[index]]);
    }
    expect(slab.score("one too many", START, 1)).toBeUndefined();
  });
});

describe("scores of rows", () => {
  const score = (rows: string[], periodSeconds?: number) =>
    Array.fromAsync(scoreStream(rows, periodSeconds ? { periodSeconds } : {}));

  it("come one for each row, heading and empty lines aside, also where a value is missing", async () => {
    const rows = [
      "\uFEFFtimestamp,value",
      ...Array.from({ length: 100 }, (_, index) => `2026-01-01 00:${index % 60}:00,${index % 3}`),
      "2026-01-01 02:00:00,",
      "",
      "2026-01-01 02:05:00,NaN",
      "not a date,1",
      '"1767225600","50",more',
    ];
    const answers = await score(rows, 60);
    expect(answers.length).toBe(104);
    expect(answers.slice(100, 102)).toEqual([0, 0]);
    expect(answers[103]).toBeGreaterThan(0.5);
  });

  it("end at the first row that is none, with its line", async () => {
    const bad = [
      ["1,2\n2,abc", 'line 2: the value "abc" is no number'],
      ["time,value\n\n1,2\n2,0x10", 'line 4: the value "0x10" is no number'],
      ["1,2\n2;3", 'line 2: a row is `timestamp,value`, not "2;3"'],
      ['{"ts":1,"value":2}\n{"ts":2}', 'line 2: no "value" in "{\\"ts\\":2}"'],
      ['{"ts":1,"value":"2"}', 'line 1: the value "\\"2\\"" is no number'],
      ['{"ts":1', 'line 1: this is no JSON: "{\\"ts\\":1"'],
      ["5\n6", 'line 1: a row is `timestamp,value`, not "5"'],
      ["time,value\ntime,value", 'line 2: the value "value" is no number'],
    ] as const;
    for (const [text, message] of bad) {
      await expect(Array.fromAsync(scoreStream(linesOf([text])))).rejects.toThrow(message);
    }
    const answered: number[] = [];
    const reading = (async () => {
      for await (const answer of scoreStream(["1,2", "2,3", "3,?"])) answered.push(answer);
    })();
    await expect(reading).rejects.toMatchObject({ name: "RowFault", line: 3 });
    expect(answered).toHaveLength(2);
  });

  it("are the same of JSON lines, whose null is a missing value", async () => {
    const values = noisy(9, 300);
    values[200] = 40;
    const rows = values.map((value, index) => `${index * 60},${index === 150 ? "" : value}`);
    const lines = values.map((value, index) =>
      JSON.stringify({ timestamp: index * 60, value: index === 150 ? null : value }),
    );
    expect(await score(lines)).toEqual(await score(rows));
  });

  it("are none for no rows", async () => {
    expect(await score([])).toEqual([]);
    expect(await score(["timestamp,value"])).toEqual([]);
  });

  it("are the same however the text is cut, and whichever way its lines end", async () => {
    const rows = Array.from({ length: 30 }, (_, index) => `${index * 60},${index % 4}.5`);
    const expected = await score(rows);
    await fc.assert(
      fc.asyncProperty(
        fc.array(fc.nat(40), { minLength: 1, maxLength: 20 }),
        fc.constantFrom("\n", "\r\n"),
        async (sizes, ending) => {
          const bytes = new TextEncoder().encode(rows.join(ending));
          const chunks: Uint8Array[] = [];
          for (let at = 0, turn = 0; at < bytes.length; turn += 1) {
            const size = 1 + (sizes[turn % sizes.length] as number);
            chunks.push(bytes.subarray(at, at + size));
            at += size;
          }
          expect(await Array.fromAsync(scoreStream(linesOf(chunks)))).toEqual(expected);
        },
      ),
    );
  });

  it("refuse a line that never ends", async () => {
    async function* endless() {
      for (;;) yield "x".repeat(10_000);
    }
    await expect(Array.fromAsync(linesOf(endless()))).rejects.toThrow(/line 1: longer than 65536/);
  });

  it("do not go blind after a value beyond all measure, wherever it comes", async () => {
    for (const huge of ["1e300", "-1e300", "9".repeat(400)]) {
      for (const at of [0, 10, 400]) {
        const values = noisy(5, 4_000).map(String);
        values[at] = huge;
        values[3_900] = "60";
        const answers = await score(values.map((value, index) => `${index * 300},${value}`));
        expect(answers.every((answer) => answer >= 0 && answer <= 1)).toBe(true);
        if (at === 400) expect(answers[400]).toBeGreaterThan(ALERT);
        const late = Math.max(...answers.slice(3_895, 3_905));
        expect(late, `${huge} at ${at}`).toBeGreaterThan(0.3);
      }
    }
  });

  it("come before the next row is read", async () => {
    let read = 0;
    async function* rows() {
      for (;;) {
        read += 1;
        yield `${read},1`;
      }
    }
    let answered = 0;
    for await (const _ of scoreStream(rows())) {
      answered += 1;
      expect(read).toBe(answered);
      if (answered === 10) break;
    }
  });
});
