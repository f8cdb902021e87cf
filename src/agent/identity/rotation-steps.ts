import type { Clock } from "../../kernel/index.ts";
import type { RotationStep } from "../../protocol/index.ts";
import type { Connection } from "../connection/connection.ts";
import { withDeadline } from "../connection/deadline.ts";
import { PublishRefused } from "../connection/publish-refused.ts";
import type { Transport } from "../ports.ts";
import type { CredentialStore } from "./credential-store.ts";
import { IdentityRefused } from "./identity-refused.ts";
import { faultOf, RotationFault } from "./rotation-fault.ts";

interface StepDeps {
  store: CredentialStore;
  connection: Connection;
  transport: Transport;
  clock: Clock;
  life: AbortSignal;
  options: { timeoutMs: number };
  log(level: "warn", message: string): void;
}

/**
 * Connects with the new generation as it lies on the storage, and carries `then` out where the
 * platform has accepted it. The agent's own connection waits until then, and comes back with what
 * is current by then.
 */
export async function tryGeneration(deps: StepDeps, then: () => Promise<void>): Promise<void> {
  const { store, connection } = deps;
  const credentials = await store.candidate().catch((error) => {
    throw faultOf("trial", "storage", error, true);
  });
  await connection.exclusively(async () => {
    await connectOnce(deps, credentials);
    await then();
  });
}

async function connectOnce(
  { transport, clock, life, options }: StepDeps,
  credentials: { key: string; certificate: string; root: string },
): Promise<void> {
  const { timeoutMs } = options;
  try {
    await withDeadline({ clock, life, timeoutMs }, async (signal) => {
      const handlers = { onMessage: async () => {}, onClose: () => {} };
      // Commands must not come here: they would count as delivered.
      const session = await transport.connect(handlers, signal, {
        credentials,
        certificatesOnly: true,
      });
      await session.close();
    });
  } catch (error) {
    const isRefused = error instanceof IdentityRefused;
    throw faultOf("trial", isRefused ? "platform" : "connection", error, isRefused);
  }
}

/** Reconnects with what is current now, and tells the platform that the older ones may go. */
export async function confirmGeneration(
  deps: StepDeps,
  report: (step: RotationStep) => Promise<void>,
): Promise<void> {
  const { store, connection, clock, life, options } = deps;
  const { number, serial } = store.current;
  await report("reconnect");
  if (!connection.isConnected || store.acceptedNumber !== number) await connection.reconnect();
  try {
    const { timeoutMs } = options;
    await withDeadline({ clock, life, timeoutMs }, (signal) => connection.whenConnected(signal));
  } catch (error) {
    throw faultOf("reconnect", "connection", error);
  }
  // It was refused meanwhile, and the device has gone back.
  if (store.acceptedNumber !== number) {
    throw new RotationFault("reconnect", "platform", "the new certificate was refused");
  }
  await report("confirm");
  try {
    await connection.publish("certificate/confirm", JSON.stringify({ serial }));
  } catch (error) {
    if (!(error instanceof PublishRefused)) throw faultOf("confirm", "connection", error);
    // A platform that knows of no confirmation goes by the first use, which has been.
    deps.log("warn", `the platform does not take the confirmation: ${error.message}`);
  }
  await store.confirmed().catch((error) => {
    throw faultOf("confirm", "storage", error);
  });
}
