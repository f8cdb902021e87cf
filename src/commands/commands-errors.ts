import { AppError, LIMITS } from "../kernel/index.ts";

export function unknownTargets(asked: readonly string[], found: readonly string[]): AppError {
  const known = new Set(found);
  const missing = asked.filter((id) => !known.has(id));
  return new AppError("not-found", `no active device ${missing.slice(0, 10).join(", ")}`, {
    deviceIds: missing.slice(0, 100),
  });
}

/** What a person can do about a limit of open commands. */
export const MAKE_ROOM = "cancel what waits, or let it come to its end first";

export function queueFull(deviceIds: readonly string[]): AppError {
  const limit = LIMITS.commandsQueuedPerDevice;
  const others = deviceIds.length - 1;
  const more = others === 1 ? " and one other" : ` and ${others} others`;
  const whose = `${deviceIds[0]}${others > 0 ? more : ""}`;
  const message = `the command queue of ${whose} is full (${limit} open): ${MAKE_ROOM}`;
  return new AppError("quota-exceeded", message, { limit, deviceIds: deviceIds.slice(0, 100) });
}

export function unknownCommand(id: string): never {
  throw new AppError("not-found", `there is no command ${id}`);
}

export function unknownBatch(id: string): never {
  throw new AppError("not-found", `there is no command batch ${id}`);
}
