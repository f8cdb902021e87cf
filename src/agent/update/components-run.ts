import { messageOf } from "../../kernel/index.ts";
import { changeUpdate } from "./change-update.ts";
import {
  activateComponents,
  fetchComponent,
  stageComponent,
  testComponents,
} from "./component-steps.ts";
import { OfferFailed } from "./offer-failed.ts";
import { failedAt, finish, judge, type Run, untilDeadline } from "./update-run.ts";
import type { UpdateStep } from "./update-steps.ts";

/** Fetches or stages one; a failure is kept, and ends the update at the next step. */
export async function workOnComponent(
  run: Run,
  step: Extract<UpdateStep, { do: "fetch-component" | "stage-component" }>,
): Promise<void> {
  const { context, update } = run;
  const { component } = step;
  if (step.do === "stage-component" && update.phase !== "installing") {
    const phaseStartedAt = context.state.trustedNow();
    await changeUpdate(context, { phase: "installing", phaseStartedAt });
    run.reporter.phaseEntered();
  }
  const work = step.do === "fetch-component" ? fetchComponent : stageComponent;
  await untilDeadline(run, async (signal) => {
    try {
      await work({ ...run, signal }, component);
    } catch (error) {
      signal.throwIfAborted();
      const element =
        error instanceof OfferFailed ? error.element : `component-${component.component}`;
      const failure = { sha256: component.sha256, element, message: messageOf(error) };
      await changeUpdate(context, (current) => ({
        failedOffers: [...current.failedOffers, failure],
      }));
    }
  });
}

/** The image stays: components are taken into use, tested, and kept or taken back at once. */
export async function activateInPlace(run: Run): Promise<void> {
  const { context, reporter, update } = run;
  const phaseStartedAt =
    update.phase === "confirming" ? update.phaseStartedAt : context.state.trustedNow();
  const attempts = update.attempts + 1;
  await changeUpdate(context, { phase: "confirming", phaseStartedAt, attempts });
  reporter.phaseEntered();
  const current = context.state.current.update ?? update;
  const result = await judge({ ...run, update: current }, async (signal) => {
    try {
      await activateComponents({ ...run, signal });
      const components = await testComponents(context);
      return components.passed ? await context.selfTest(signal) : components;
    } catch (error) {
      signal.throwIfAborted();
      return { passed: false, element: "component", message: messageOf(error) };
    }
  });
  const { element = "self-test", message = "failed" } = result;
  const step: UpdateStep = result.passed
    ? { do: "finish", phase: "succeeded" }
    : failedAt("confirming", element, message);
  await finish({ ...run, update: context.state.current.update ?? current }, step);
}
