/** What a state means to the person who looks at it; each tone has one colour everywhere. */
export type Tone = "ok" | "busy" | "late" | "bad" | "idle";

/** Mantine colour of a tone. */
export const TONE_COLORS: Record<Tone, string> = {
  ok: "moss",
  busy: "fjord",
  late: "amber",
  bad: "ember",
  idle: "gray",
};

/** CSS colour of a tone for bars, gauges and charts. */
export function toneFill(tone: Tone): string {
  return `var(--vautn-${tone})`;
}

const PRESENCE_TONES: Record<string, Tone> = {
  online: "ok",
  late: "late",
  offline: "bad",
  never: "idle",
};

export function presenceTone(presence: string): Tone {
  return PRESENCE_TONES[presence] ?? "idle";
}

const HEALTH_TONES: Record<string, Tone> = {
  healthy: "ok",
  degraded: "late",
  failing: "bad",
  offline: "bad",
  unknown: "idle",
};

export function healthTone(health: string): Tone {
  return HEALTH_TONES[health] ?? "idle";
}

const ROLLOUT_TONES: Record<string, Tone> = {
  preparing: "idle",
  running: "busy",
  paused: "late",
  "needs-decision": "late",
  succeeded: "ok",
  "rolling-back": "bad",
  "rolled-back": "bad",
  failed: "bad",
  cancelled: "idle",
};

export function rolloutTone(state: string): Tone {
  return ROLLOUT_TONES[state] ?? "idle";
}

const UPDATE_TONES: Record<string, Tone> = {
  pending: "idle",
  withdrawn: "idle",
  succeeded: "ok",
  failed: "bad",
  "fell-back": "bad",
  rejected: "bad",
  silent: "bad",
};

/** A device's state within a rollout; the phases under way are all `busy`. */
export function updateTone(state: string): Tone {
  return UPDATE_TONES[state] ?? "busy";
}

const COMMAND_TONES: Record<string, Tone> = {
  waiting: "idle",
  queued: "idle",
  delivered: "busy",
  accepted: "busy",
  running: "busy",
  succeeded: "ok",
  failed: "bad",
  rejected: "bad",
  expired: "late",
  "timed-out": "late",
  replaced: "idle",
  cancelled: "idle",
};

export function commandTone(status: string): Tone {
  return COMMAND_TONES[status] ?? "idle";
}

const SEVERITY_TONES: Record<string, Tone> = { info: "busy", warning: "late", critical: "bad" };

export function severityTone(severity: string): Tone {
  return SEVERITY_TONES[severity] ?? "idle";
}

const LEVEL_TONES: Record<string, Tone> = {
  trace: "idle",
  debug: "idle",
  info: "busy",
  warn: "late",
  error: "bad",
  fatal: "bad",
};

export function levelTone(level: string): Tone {
  return LEVEL_TONES[level] ?? "idle";
}
