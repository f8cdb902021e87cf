import { messageOf } from "../../kernel/index.ts";
import type { Application, SelfTestResult } from "../ports.ts";

/**
 * Whether the running image is fit to stay: the application says so, and the platform can be
 * reached, for an image that cannot be replaced from afar must not be kept. When `signal` ends the
 * test, the element that it waited for is the one that failed.
 */
export async function runSelfTest(
  application: Pick<Application, "selfTest">,
  whenConnected: (signal: AbortSignal) => Promise<void>,
  signal: AbortSignal,
): Promise<SelfTestResult> {
  try {
    const result = await Promise.race([application.selfTest(signal), rejection(signal)]);
    if (!result.passed) return { element: "application", ...result };
  } catch (error) {
    const message = signal.aborted ? "did not end in time" : messageOf(error);
    return { passed: false, element: "application", message };
  }
  try {
    await whenConnected(signal);
  } catch {
    return { passed: false, element: "platform", message: "could not be reached in time" };
  }
  return { passed: true };
}

function rejection(signal: AbortSignal): Promise<never> {
  return new Promise((_resolve, reject) => {
    if (signal.aborted) reject(signal.reason);
    else signal.addEventListener("abort", () => reject(signal.reason), { once: true });
  });
}
