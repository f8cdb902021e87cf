import { AppError } from "../kernel/index.ts";

export function unknownTargets(asked: readonly string[], found: readonly string[]): AppError {
  const known = new Set(found);
  const missing = asked.filter((id) => !known.has(id));
  return new AppError("not-found", `no active device ${missing.slice(0, 10).join(", ")}`, {
    deviceIds: missing.slice(0, 100),
  });
}

export function unknownCommand(id: string): never {
  throw new AppError("not-found", `there is no command ${id}`);
}

export function unknownBatch(id: string): never {
  throw new AppError("not-found", `there is no command batch ${id}`);
}
