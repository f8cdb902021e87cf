/** Who did something, as audit entries and other modules name them. */
export interface Actor {
  kind: "user" | "api-key" | "system" | "device" | "application";
  id: string;
  name: string;
  /** Network address, where there is one. */
  address?: string;
}

/** The platform itself: timers, the first start. */
export const SYSTEM_ACTOR: Actor = { kind: "system", id: "platform", name: "platform" };

/** Audit chain of what concerns no single tenant; no valid tenant id. */
export const PLATFORM_CHAIN = "_platform";
