import { AppError } from "../kernel/index.ts";

export function invalidContent(message: string, cause?: unknown): AppError {
  return new AppError("invalid-content", message, {}, cause ? { cause } : undefined);
}

/** A program or file of another package is not on this machine. */
export function missingPackage(what: string, debianPackage: string): AppError {
  return new AppError(
    "unavailable",
    `${what} is not on this machine: it is in the Debian package ${debianPackage}`,
    { package: debianPackage },
  );
}
