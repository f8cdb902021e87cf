import { seededRandom } from "../src/kernel/index.ts";
import type { DeclaredProduct } from "../src/protocol/index.ts";

/**
 * Data in the shape of TSBS' use case `iot` (github.com/timescale/tsbs): trucks of four fleets that send
 * readings and diagnostics each ten seconds, some missing, some late, some twice.
 */
export interface Truck {
  id: string;
  fleet: string;
  driver: string;
  model: string;
  loadCapacity: number;
  nominalFuelConsumption: number;
}

/** Decimals of each measurement; in this order they have the slots of wide rows. */
const DECIMALS = {
  ...{ latitude: 5, longitude: 5, elevation: 0, velocity: 0, heading: 0, grade: 0 },
  ...{ fuel_consumption: 1, fuel_state: 1, current_load: 0, status: 0 },
};
export type TruckMetric = keyof typeof DECIMALS;
export const TRUCK_METRICS = Object.keys(DECIMALS) as TruckMetric[];

export const TRUCK_PRODUCT: DeclaredProduct = {
  product: "truck",
  metrics: TRUCK_METRICS.map((name) => ({ name, type: "number", decimals: DECIMALS[name] })),
  slots: TRUCK_METRICS.map((name, index) => {
    return { slot: index + 1, name, decimals: DECIMALS[name], from: 0 };
  }),
};

/** The column of wide rows that holds a measurement, as a whole number. */
export function slotOf(metric: TruckMetric): string {
  return `i${TRUCK_METRICS.indexOf(metric) + 1}`;
}

export interface TruckMessage {
  truck: string;
  ts: number;
  seq: number;
  values: Partial<Record<TruckMetric, number>>;
}

const FLEETS = ["East", "West", "North", "South"];
const DRIVERS = ["Derek", "Rodney", "Albert", "Andy", "Seth", "Trish"];
const MODELS = [
  { model: "F-150", loadCapacity: 2_000, nominalFuelConsumption: 15 },
  { model: "G-2000", loadCapacity: 5_000, nominalFuelConsumption: 19 },
  { model: "H-2", loadCapacity: 1_500, nominalFuelConsumption: 12 },
];
/** Shares of messages that never come, that come an hour late, and that come twice. */
const MISSING = 0.05;
const LATE = 0.1;
const TWICE = 0.03;
const LATE_BY_MS = 3_600_000;

export interface TrucksOptions {
  seed: number;
  trucks: number;
  start: number;
  hours: number;
  everyMs: number;
}

export function trucksOf({ seed, trucks }: Pick<TrucksOptions, "seed" | "trucks">): Truck[] {
  const random = seededRandom(seed);
  const oneOf = <T>(list: readonly T[]) => list[Math.floor(random.next() * list.length)] as T;
  return Array.from({ length: trucks }, (_, index) => {
    return { id: `truck_${index}`, fleet: oneOf(FLEETS), driver: oneOf(DRIVERS), ...oneOf(MODELS) };
  });
}

/** Messages in the order in which they arrive. */
export function* truckMessages(options: TrucksOptions): Generator<TruckMessage> {
  const random = seededRandom(options.seed + 1);
  const trucks = Array.from({ length: options.trucks }, () => new Walk(random));
  const late: { due: number; message: TruckMessage }[] = [];
  const end = options.start + options.hours * 3_600_000;
  let seq = 0;
  for (let ts = options.start; ts < end; ts += options.everyMs) {
    while (late[0] && late[0].due <= ts) yield (late.shift() as (typeof late)[0]).message;
    for (const [index, walk] of trucks.entries()) {
      for (const values of walk.next()) {
        seq += 1;
        const message = { truck: `truck_${index}`, ts, seq, values };
        const fate = random.next();
        if (fate < MISSING) continue;
        if (fate < MISSING + LATE) late.push({ due: ts + LATE_BY_MS, message });
        else yield message;
        if (fate > 1 - TWICE) yield message;
      }
    }
  }
  for (const { message } of late) yield message;
}

/** One truck's measurements: random walks within bounds. */
class Walk {
  readonly #random: { next(): number };
  readonly #at: Record<TruckMetric, number>;

  constructor(random: { next(): number }) {
    this.#random = random;
    this.#at = {
      ...{ latitude: random.next() * 90, longitude: random.next() * 180 },
      ...{ elevation: random.next() * 500, velocity: 0, heading: random.next() * 360, grade: 0 },
      ...{ fuel_consumption: 25, fuel_state: random.next(), status: 0 },
      current_load: random.next() * 5_000,
    };
  }

  /** Readings and diagnostics of the next moment. */
  next(): [TruckMessage["values"], TruckMessage["values"]] {
    const at = this.#at;
    this.#step("latitude", 0.005, -90, 90);
    this.#step("longitude", 0.005, -180, 180);
    this.#step("elevation", 10, 0, 5_000);
    this.#step("velocity", 10, 0, 100);
    this.#step("heading", 5, 0, 360);
    this.#step("grade", 5, 0, 100);
    this.#step("fuel_consumption", 5, 0, 50);
    at.fuel_state -= this.#random.next() * 0.001;
    if (at.fuel_state <= 0) at.fuel_state = 1;
    if (this.#random.next() < 0.05) at.current_load = this.#random.next() * 5_000;
    this.#step("status", 1.7, 0, 5);
    const of = (names: readonly TruckMetric[]) =>
      Object.fromEntries(names.map((name) => [name, rounded(at[name], DECIMALS[name])]));
    return [of(TRUCK_METRICS.slice(0, 7)), of(TRUCK_METRICS.slice(7))];
  }

  #step(name: TruckMetric, width: number, least: number, most: number): void {
    const next = this.#at[name] + (this.#random.next() * 2 - 1) * width;
    this.#at[name] = Math.min(most, Math.max(least, next));
  }
}

function rounded(value: number, decimals: number): number {
  const factor = 10 ** decimals;
  return Math.round(value * factor) / factor + 0;
}
