/** A time in each week in which the device may be disturbed, by its own local time. */
export interface MaintenanceWindow {
  /** 0 is Sunday; every day if nothing is said. */
  days?: number[];
  /** `HH:MM`; a window whose end is not after its beginning ends on the next day. */
  from: string;
  to: string;
}

export interface ConditionRules {
  /** Beyond what the update itself takes. */
  minFreeBytes: number;
  /** Charge below which a device that is not being charged does not restart into an image. */
  minBatteryPercent: number;
  windows: readonly MaintenanceWindow[];
  /** A person at the device has to agree to each update. */
  consent: boolean;
}

export const CONDITION_DEFAULTS: ConditionRules = {
  minFreeBytes: 4 * 1024 ** 2,
  minBatteryPercent: 0,
  windows: [],
  consent: false,
};

/** What a machine can tell about itself; undefined where it cannot. */
export interface ConditionFacts {
  freeBytes(): Promise<number | undefined>;
  battery(): Promise<{ percent: number; charging: boolean } | undefined>;
  /** The update, or the version, that somebody has agreed to. */
  consentedTo(): Promise<string | undefined>;
  /** Local time: the day of the week and the minute of the day. */
  localTime(nowMs: number): { day: number; minute: number };
}

export interface Conditions {
  rules: ConditionRules;
  facts: ConditionFacts;
}

/** Nothing is known, nothing is asked for. */
export const NO_CONDITIONS: Conditions = {
  rules: { ...CONDITION_DEFAULTS, minFreeBytes: 0 },
  facts: {
    freeBytes: async () => undefined,
    battery: async () => undefined,
    consentedTo: async () => undefined,
    localTime: () => ({ day: 0, minute: 0 }),
  },
};

/** What an update waits for, or fails by where waiting does not help. */
export interface Unmet {
  element: "consent" | "maintenance-window" | "battery" | "free-space";
  message: string;
  hopeless: boolean;
}

export interface ConditionQuestion {
  updateId: string;
  version: string;
  /** What is still to be written beside the slots. */
  neededBytes: number;
  /** About to restart, rather than about to fetch. */
  restarts: boolean;
  nowMs: number;
}

/** The first condition that does not hold, or undefined where the update may go on. */
export async function unmetCondition(
  { rules, facts }: Conditions,
  question: ConditionQuestion,
): Promise<Unmet | undefined> {
  const waits = (element: Unmet["element"], message: string): Unmet => ({
    ...{ element, message, hopeless: false },
  });
  if (rules.consent) {
    const agreed = await facts.consentedTo();
    if (agreed !== question.updateId && agreed !== question.version) {
      return waits("consent", `nobody has agreed to ${question.version} yet`);
    }
  }
  if (!question.restarts) {
    const free = await facts.freeBytes();
    const needed = question.neededBytes + rules.minFreeBytes;
    if (free !== undefined && free < needed) {
      const message = `${free} bytes are free, ${needed} are needed`;
      return { element: "free-space", message, hopeless: true };
    }
    return undefined;
  }
  if (rules.windows.length > 0) {
    const local = facts.localTime(question.nowMs);
    if (!rules.windows.some((window) => isWithin(window, local))) {
      const times = rules.windows.map(({ from, to }) => `${from}-${to}`).join(", ");
      return waits("maintenance-window", `restarts are allowed at ${times}`);
    }
  }
  const battery = await facts.battery();
  if (battery && !battery.charging && battery.percent < rules.minBatteryPercent) {
    const message = `${battery.percent} % are left, ${rules.minBatteryPercent} % are needed`;
    return waits("battery", message);
  }
  return undefined;
}

const MINUTES_A_DAY = 24 * 60;

export function isWithin(
  { days, from, to }: MaintenanceWindow,
  local: { day: number; minute: number },
): boolean {
  const start = minuteOf(from);
  const end = minuteOf(to);
  const onDay = (day: number) => days === undefined || days.includes(day);
  if (end > start) return onDay(local.day) && local.minute >= start && local.minute < end;
  const yesterday = (local.day + 6) % 7;
  return (onDay(local.day) && local.minute >= start) || (onDay(yesterday) && local.minute < end);
}

function minuteOf(time: string): number {
  const [hours = 0, minutes = 0] = time.split(":").map(Number);
  return Math.min(MINUTES_A_DAY, hours * 60 + minutes);
}
