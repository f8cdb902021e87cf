import { messageOf } from "../../kernel/index.ts";
import type { Assignment, ComponentOffer } from "../../protocol/index.ts";
import type { ActiveUpdate, ComponentState } from "../agent-state.ts";
import type { Component, Components } from "../components/component.ts";
import type { SelfTestResult } from "../ports.ts";
import { changeUpdate } from "./change-update.ts";
import { downloadOffer } from "./download.ts";
import { OfferFailed } from "./offer-failed.ts";
import { receivedSoFar, withReceived } from "./received-bytes.ts";
import type { UpdateContext } from "./update-context.ts";
import type { UpdateReporter } from "./update-reporter.ts";
import { manifestOf } from "./update-steps.ts";

export interface ComponentRun {
  context: UpdateContext;
  reporter: UpdateReporter;
  update: ActiveUpdate;
  signal: AbortSignal;
}

/** What an update brings beside the image, in the device's order; what it does not know comes last. */
export function wantedComponents(assignment: Assignment, known: Components): ComponentState[] {
  const wanted = assignment.release?.signed.components ?? [];
  const order = [...known.keys()];
  const place = ({ component }: { component: string }) =>
    order.includes(component) ? order.indexOf(component) : order.length;
  return wanted
    .toSorted((left, right) => place(left) - place(right))
    .map(({ component, sha256 }) => ({ component, sha256, stagedBytes: 0, state: "wanted" }));
}

function stagingFile(component: string): string {
  return `component-${component}.part`;
}

/** Fetches one component, or finds that it is in use already. */
export async function fetchComponent(run: ComponentRun, wanted: ComponentState): Promise<void> {
  const { context, update, signal } = run;
  const { component, sha256 } = wanted;
  const handler = handlerOf(context.components, component);
  if ((await handler.installed()) === sha256) return setState(context, component, "same");
  const { traceparent } = update.assignment.signed;
  const offer = offerOf(update.assignment.signed, wanted);
  let received = receivedSoFar(update);
  context.log("info", `fetching component ${component}, ${offer.sizeBytes} bytes`, traceparent);
  await downloadOffer({
    offer,
    fileName: stagingFile(component),
    storage: context.storage,
    source: context.artifacts,
    clock: context.clock,
    random: context.random,
    signal,
    stagedBytes: wanted.stagedBytes,
    onReceived: (sizeBytes, servedBy) => {
      received = withReceived(received, sizeBytes, servedBy);
    },
    onStaged: (stagedBytes) =>
      changeUpdate(context, (current) => ({
        ...received,
        components: current.components.map((one) =>
          one.component === component ? { ...one, stagedBytes } : one,
        ),
      })),
    onRetry: (message) => context.log("warn", `component ${component}: ${message}`, traceparent),
  });
  await setState(context, component, "fetched");
}

/** Hands one component to what will take it into use. */
export async function stageComponent(run: ComponentRun, wanted: ComponentState): Promise<void> {
  const { context, update, signal } = run;
  const manifest = manifestOf(update.assignment.signed);
  const file = await context.storage.open(stagingFile(wanted.component));
  try {
    const content = {
      sha256: wanted.sha256,
      sizeBytes: await file.sizeBytes(),
      version: manifest.version,
      read: (offset: number, length: number) => file.read(offset, length),
    };
    await handlerOf(context.components, wanted.component).stage(content, signal);
  } finally {
    await file.close();
  }
  await setState(context, wanted.component, "staged");
}

/** Takes all that was staged into use, in order. */
export async function activateComponents(run: ComponentRun): Promise<void> {
  const { context, signal } = run;
  for (const { component, sha256, state } of context.state.current.update?.components ?? []) {
    if (state !== "staged" && state !== "active") continue;
    signal.throwIfAborted();
    if (state === "staged") await setState(context, component, "active");
    await handlerOf(context.components, component).activate(sha256, signal);
  }
}

/** Whether each component that was taken into use is the one that is there. */
export async function testComponents(context: UpdateContext): Promise<SelfTestResult> {
  for (const { component, sha256, state } of context.state.current.update?.components ?? []) {
    if (state !== "active") continue;
    const element = `component-${component}`;
    try {
      const found = await handlerOf(context.components, component).installed();
      if (found === sha256) continue;
      return { passed: false, element, message: `${found ?? "something unknown"} is in use` };
    } catch (error) {
      return { passed: false, element, message: messageOf(error) };
    }
  }
  return { passed: true };
}

/** Makes what was taken into use stay; returns what could not be confirmed. */
export async function confirmComponents(context: UpdateContext): Promise<string[]> {
  const failures: string[] = [];
  const inUse = context.state.current.update?.components ?? [];
  if (inUse.some(({ state }) => state === "active")) {
    await changeUpdate(context, ({ components }) => ({ components: components.map(keep) }));
  }
  for (const { component, state } of context.state.current.update?.components ?? []) {
    if (state !== "kept") continue;
    try {
      await handlerOf(context.components, component).confirm();
      await context.storage.remove(stagingFile(component));
    } catch (error) {
      context.life.throwIfAborted();
      failures.push(`${component} could not be confirmed: ${messageOf(error)}`);
    }
  }
  return failures;
}

function keep(one: ComponentState): ComponentState {
  return one.state === "active" ? { ...one, state: "kept" } : one;
}

/** Takes everything back, the last first; returns what could not be taken back. */
export async function revertComponents(context: UpdateContext): Promise<string[]> {
  const failures: string[] = [];
  const components = context.state.current.update?.components ?? [];
  for (const { component, state } of components.toReversed()) {
    const handler = context.components.get(component);
    try {
      if (state === "staged" || state === "active") await handler?.revert();
      await context.storage.remove(stagingFile(component));
    } catch (error) {
      context.life.throwIfAborted();
      failures.push(`${component} could not be taken back: ${messageOf(error)}`);
    }
  }
  return failures;
}

function handlerOf(components: Components, component: string): Component {
  const handler = components.get(component);
  if (handler) return handler;
  throw new OfferFailed(
    `component-${component}`,
    `this device does not know the component ${component}`,
  );
}

/** What the signed manifest names counts; the offer only says where it is to be had. */
function offerOf(assignment: Assignment, wanted: ComponentState): ComponentOffer {
  const named = manifestOf(assignment).components?.find(
    ({ component }) => component === wanted.component,
  );
  const offer = assignment.components?.find(({ component }) => component === wanted.component);
  if (!offer || !named || offer.sha256 !== named.sha256 || offer.sizeBytes !== named.sizeBytes) {
    const message = `${wanted.component} is not offered as the release names it`;
    throw new OfferFailed(`component-${wanted.component}`, message);
  }
  return offer;
}

function setState(
  context: UpdateContext,
  component: string,
  state: ComponentState["state"],
): Promise<void> {
  return changeUpdate(context, (current) => ({
    components: current.components.map((one) =>
      one.component === component ? { ...one, state } : one,
    ),
  }));
}
