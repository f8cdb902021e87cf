import {
  type About,
  type AnswerRow,
  LONG_DAY_MS,
  LONG_DAY_TENS,
  LONG_SESSION_MS,
  LONG_SESSION_TENS,
  STATIONARY_MS,
} from "../../bench/tsbs-queries.ts";
import type { Truck, TruckMessage, TruckMetric } from "../../bench/tsbs-trucks.ts";

const TEN_MS = 600_000;
const DAY_MS = 86_400_000;

interface Value {
  ts: number;
  value: number;
}

/** Answers to TSBS' questions, worked out value by value from the messages themselves. */
export class TruckReference {
  readonly #values = new Map<string, Map<number, number>>();

  constructor(messages: readonly TruckMessage[]) {
    for (const { truck, ts, values } of messages) {
      for (const [metric, value] of Object.entries(values)) {
        const key = `${truck} ${metric}`;
        const own = this.#values.get(key) ?? new Map<number, number>();
        this.#values.set(key, own.set(ts, value));
      }
    }
  }

  answer(name: string, { trucks, fleet, end }: About): AnswerRow[] {
    const mine = trucks.filter((truck) => truck.fleet === fleet);
    switch (name) {
      case "last-loc":
        return this.#locations(mine);
      case "single-last-loc":
        return this.#locations(trucks.slice(0, 1));
      case "low-fuel":
        return mine
          .map(({ id }) => ({ k: id, v: this.#last(id, "fuel_state") }))
          .filter(({ v }) => v < 0.1);
      case "high-load":
        return mine
          .filter((one) => this.#last(one.id, "current_load") / one.loadCapacity > 0.9)
          .map(({ id }) => ({ k: id, v: this.#last(id, "current_load") }));
      case "stationary-trucks":
        return mine
          .filter(({ id }) => mean(this.#within(id, "velocity", end - STATIONARY_MS, end)) < 1)
          .map(({ id }) => ({ k: id }));
      case "long-driving-sessions":
        return this.#longDrivers(mine, end, LONG_SESSION_MS, LONG_SESSION_TENS);
      case "long-daily-sessions":
        return this.#longDrivers(mine, end, LONG_DAY_MS, LONG_DAY_TENS);
      case "avg-vs-projected-fuel-consumption":
        return this.#fuel(trucks);
      case "avg-daily-driving-duration":
        return this.#dailyDriving(trucks);
      case "avg-daily-driving-session":
        return this.#sessions(trucks);
      case "avg-load":
        return grouped(
          trucks.map((one) => {
            const load = mean(this.#all(one.id, "current_load"));
            return { k: `${one.fleet} ${one.model}`, value: load / one.loadCapacity };
          }),
          average,
        );
      case "daily-activity":
        return this.#activity(trucks);
      case "breakdown-frequency":
        return this.#breakdowns(trucks);
      default:
        throw new Error(`no such question: ${name}`);
    }
  }

  #all(truck: string, metric: TruckMetric): Value[] {
    return [...(this.#values.get(`${truck} ${metric}`) ?? [])]
      .map(([ts, value]) => ({ ts, value }))
      .sort((left, right) => left.ts - right.ts);
  }

  #within(truck: string, metric: TruckMetric, from: number, to: number): Value[] {
    return this.#all(truck, metric).filter(({ ts }) => ts >= from && ts < to);
  }

  #last(truck: string, metric: TruckMetric): number {
    return this.#all(truck, metric).at(-1)?.value ?? Number.NaN;
  }

  #locations(trucks: readonly Truck[]): AnswerRow[] {
    return trucks.map(({ id }) => {
      return { k: id, v: this.#last(id, "latitude"), w: this.#last(id, "longitude") };
    });
  }

  #longDrivers(
    trucks: readonly Truck[],
    end: number,
    lengthMs: number,
    least: number,
  ): AnswerRow[] {
    return trucks
      .filter(({ id }) => {
        const tens = inTens(this.#within(id, "velocity", end - lengthMs, end));
        return [...tens.values()].filter((values) => mean(values) > 1).length > least;
      })
      .map(({ id }) => ({ k: id }));
  }

  #fuel(trucks: readonly Truck[]): AnswerRow[] {
    const fleets = new Map<string, { fuel: number[]; nominal: number[] }>();
    for (const { id, fleet, nominalFuelConsumption } of trucks) {
      const own = fleets.get(fleet) ?? { fuel: [], nominal: [] };
      fleets.set(fleet, own);
      for (const { ts, value } of this.#all(id, "velocity")) {
        const fuel = this.#values.get(`${id} fuel_consumption`)?.get(ts);
        if (value <= 1 || fuel === undefined) continue;
        own.fuel.push(fuel);
        own.nominal.push(nominalFuelConsumption);
      }
    }
    return [...fleets].map(([k, { fuel, nominal }]) => {
      return { k, v: average(fuel), w: average(nominal) };
    });
  }

  #dailyDriving(trucks: readonly Truck[]): AnswerRow[] {
    return trucks.flatMap(({ id }) => {
      const days = new Map<number, number>();
      for (const [ten, values] of inTens(this.#all(id, "velocity"))) {
        if (mean(values) <= 1) continue;
        const day = Math.floor((ten * TEN_MS) / DAY_MS);
        days.set(day, (days.get(day) ?? 0) + 1 / 6);
      }
      return days.size === 0 ? [] : [{ k: id, v: average([...days.values()]) }];
    });
  }

  #sessions(trucks: readonly Truck[]): AnswerRow[] {
    const found: { k: string; day: number; value: number }[] = [];
    for (const { id } of trucks) {
      const states = [...inTens(this.#all(id, "velocity"))].map(([ten, values]) => {
        return { ten, driving: mean(values) > 5 };
      });
      const changes = states.filter(({ driving }, index) => {
        const before = states[index - 1];
        return before !== undefined && before.driving !== driving;
      });
      for (const [index, { ten, driving }] of changes.entries()) {
        const stop = changes[index + 1];
        if (!driving || !stop) continue;
        found.push({ k: id, day: Math.floor(ten / 144), value: (stop.ten - ten) * 600 });
      }
    }
    return grouped(found, average);
  }

  #activity(trucks: readonly Truck[]): AnswerRow[] {
    const found: { k: string; day: number; value: number }[] = [];
    for (const { id, fleet, model } of trucks) {
      for (const [ten, values] of inTens(this.#all(id, "status"))) {
        if (mean(values) >= 1) continue;
        const day = Math.floor(ten / 144);
        found.push({ k: `${fleet} ${model}`, day, value: values.length / 144 });
      }
    }
    return grouped(found, (values) => values.reduce((sum, value) => sum + value, 0));
  }

  #breakdowns(trucks: readonly Truck[]): AnswerRow[] {
    const found: { k: string; value: number }[] = [];
    for (const { id, model } of trucks) {
      const broken = [...inTens(this.#all(id, "status")).values()].map(
        (values) => values.filter(({ value }) => value === 0).length / values.length >= 0.5,
      );
      for (const [index, isBroken] of broken.entries()) {
        if (!isBroken && broken[index + 1]) found.push({ k: model, value: 1 });
      }
    }
    return grouped(found, (values) => values.length);
  }
}

/** By the beginning of their ten minutes, in order. */
function inTens(values: readonly Value[]): Map<number, Value[]> {
  return Map.groupBy(values, ({ ts }) => Math.floor(ts / TEN_MS));
}

function mean(values: readonly Value[]): number {
  return average(values.map(({ value }) => value));
}

function average(values: readonly number[]): number {
  return values.reduce((sum, value) => sum + value, 0) / values.length;
}

function grouped(
  found: readonly { k: string; day?: number; value: number }[],
  together: (values: readonly number[]) => number,
): AnswerRow[] {
  const groups = Map.groupBy(found, ({ k, day }) => `${k}|${day ?? ""}`);
  return [...groups.values()].map((group) => {
    const [{ k, day }] = group as [{ k: string; day?: number; value: number }];
    const v = together(group.map(({ value }) => value));
    return day === undefined ? { k, v } : { k, day, v };
  });
}
