import { AppError, isAppError } from "../kernel/index.ts";

/** Where an enrolment was when it was refused; told to the device and to the audit log. */
export type EnrolmentStep =
  /** Reading the request and checking its signature. */
  | "request"
  /** Whether the tenant exists and is active. */
  | "tenant"
  /** Whether the name is the one that the right permits. */
  | "name"
  /** Whether the claim, certificate or key permits it. */
  | "right"
  /** What the policy says: list, webhook, person. */
  | "policy"
  /** Registering the device. */
  | "device"
  /** Whether the key is free. */
  | "key"
  | "issue";

/** Runs one step; a refusal says which it was. The innermost step that names itself counts. */
export async function atStep<Result>(
  step: EnrolmentStep,
  work: () => Result | Promise<Result>,
): Promise<Result> {
  try {
    return await work();
  } catch (error) {
    if (!isAppError(error) || error.details.step !== undefined) throw error;
    throw new AppError(error.code, error.message, { ...error.details, step }, { cause: error });
  }
}
