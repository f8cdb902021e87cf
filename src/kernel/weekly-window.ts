export const WEEKDAYS = ["mon", "tue", "wed", "thu", "fri", "sat", "sun"] as const;
export type Weekday = (typeof WEEKDAYS)[number];

/** Times of day that come again every week. */
export interface WeeklyWindow {
  /** `HH:MM`. */
  from: string;
  /** Of the next day where it is not later than `from`. */
  to: string;
  /** Days on which the window opens; left out, all of them. */
  days?: readonly Weekday[] | undefined;
}

const MAX_FORMATS = 1_000;

const formats = new Map<string, Intl.DateTimeFormat | null>();

/** The zone's calendar, or null where there is no such zone. */
function formatOf(zone: string): Intl.DateTimeFormat | null {
  const known = formats.get(zone);
  if (known !== undefined) return known;
  if (formats.size >= MAX_FORMATS) formats.clear();
  let format: Intl.DateTimeFormat | null = null;
  try {
    format = new Intl.DateTimeFormat("en-GB", {
      timeZone: zone,
      weekday: "short",
      hour: "2-digit",
      minute: "2-digit",
      hourCycle: "h23",
    });
  } catch {
    // Null says it: a device's tag may hold anything.
  }
  formats.set(zone, format);
  return format;
}

export function isTimeZone(zone: string): boolean {
  return formatOf(zone) !== null;
}

/** Whether the window is open in a zone now; a zone that nobody knows counts as UTC. */
export function isWithin(window: WeeklyWindow, zone: string, nowMs: number): boolean {
  const format = (formatOf(zone) ?? formatOf("UTC")) as Intl.DateTimeFormat;
  const parts = format.formatToParts(nowMs);
  const part = (type: string) => parts.find((candidate) => candidate.type === type)?.value ?? "";
  const today = WEEKDAYS.indexOf(part("weekday").toLowerCase() as Weekday);
  const minutes = Number(part("hour")) * 60 + Number(part("minute"));
  const from = minutesOf(window.from);
  const to = minutesOf(window.to);
  const opensOn = (day: number) =>
    !window.days || window.days.includes(WEEKDAYS[(day + 7) % 7] as Weekday);
  if (from < to) return minutes >= from && minutes < to && opensOn(today);
  // Past midnight it is still the window of the day before.
  return (minutes >= from && opensOn(today)) || (minutes < to && opensOn(today - 1));
}

function minutesOf(time: string): number {
  const [hours, minutes] = time.split(":");
  return Number(hours) * 60 + Number(minutes);
}
