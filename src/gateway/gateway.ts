import { readFreshCommand } from "../commands/index.ts";
import { FairShare } from "../kernel/fair-share.ts";
import { createApplications } from "./applications/applications.ts";
import { Connection } from "./connection.ts";
import type { GatewayContext } from "./context.ts";
import type { GatewayDeps, GatewayOptions } from "./deps.ts";
import { sweepTenant } from "./due-wills.ts";
import { FanOut } from "./fan-out.ts";
import { GatewayFigures } from "./gateway-figures.ts";
import { connectionsGauge } from "./gateway-metrics.ts";
import { DEFAULT_GATEWAY_LIMITS, ratesOf } from "./limits.ts";
import { type Listener, listen } from "./listener.ts";
import { LookAround } from "./look-around.ts";
import { MessageRouter } from "./message-router.ts";
import { Allowances } from "./pacing.ts";
import { ConnectionFault, REASON } from "./reason-codes.ts";
import { Refusals } from "./refusals.ts";
import { Registry } from "./registry.ts";
import { Retained } from "./retained.ts";
import { Sessions } from "./sessions.ts";
import { applyStanding } from "./standing.ts";
import { StandingLog } from "./standing-log.ts";
import { TokenBuckets } from "./token-bucket.ts";

/** How often keep-alives and the like are looked at. */
const CHECK_INTERVAL_MS = 1_000;
/** How long connections may take to end when the gateway stops. */
const CLOSE_TIMEOUT_MS = 5_000;

/** A running MQTT listener. */
export interface Gateway {
  readonly port: number;
  /** Connections of devices that have been accepted and live. */
  connections(): number;
  close(): Promise<void>;
}

/** Starts to listen for devices: MQTT 3.1.1 and 5 over mutual TLS. */
export async function startGateway(deps: GatewayDeps & GatewayOptions): Promise<Gateway> {
  const limits = { ...DEFAULT_GATEWAY_LIMITS, ...deps.limits };
  const context: GatewayContext = {
    deps,
    limits,
    gatewayId: deps.gatewayId,
    nextConnectionId: connectionIds(deps),
    router: new MessageRouter(deps),
    refusals: new Refusals(deps),
    registry: new Registry(),
    sessions: new Sessions(deps, deps.gatewayId),
    retained: new Retained(deps, limits),
    fanOut: new FanOut(deps),
    tenantConnects: new TokenBuckets(limits.tenantRate, limits.tenantBurst),
    deviceConnects: new TokenBuckets(limits.deviceRate, limits.deviceBurst),
    tenantAllowances: new Allowances(ratesOf(limits, "tenant")),
    addressAllowances: new Allowances(ratesOf(limits, "address")),
    fairShare: new FairShare({
      clock: deps.clock,
      busy: deps.busy ?? (() => 0),
      floorPerSecond: limits.sharedMessageRate,
    }),
    load: { inboundBytes: 0 },
    standing: new StandingLog(),
    answered: () => {},
  };
  await context.sessions.begin();
  await deps.devices.gatewayStarted(deps.gatewayId);
  const connections = new Set<Connection>();
  const unsubscribe = subscribe(context);
  const applications = applicationsOf(deps);
  const { port, bindAddress: host, sharesPort = false } = deps;
  const listener = await listen(context, { port, host, sharesPort }, (socket) => {
    if (applications?.take(socket)) {
      context.answered(socket);
      return;
    }
    const connection = new Connection(socket, context);
    connections.add(connection);
    connectionsGauge.inc();
    socket.once("close", () => {
      connections.delete(connection);
      connectionsGauge.dec();
    });
  });
  context.answered = listener.answered;
  const stopChecks = startChecks(context, connections, listener);
  const stopSweeping = context.sessions.startSweeping(
    (db, tenantId) => sweepTenant(context, db, tenantId),
    () => sendAway(connections),
  );
  return {
    port: listener.port,
    connections: () => context.registry.size,
    async close() {
      stopChecks();
      stopSweeping();
      for (const stop of unsubscribe) stop();
      listener.close();
      await applications?.close();
      for (const connection of connections) shutDown(connection);
      await Promise.race([ended(connections), timeout(CLOSE_TIMEOUT_MS)]);
      for (const connection of connections) connection.socket.destroy();
      await context.router.flush();
      await context.sessions.flush();
      await deps.devices.flush();
    },
  };
}

/** Applications of the tenants, where certificates of theirs can be told. */
function applicationsOf(given: GatewayDeps & GatewayOptions) {
  const { tenancy, identity, commands, clock, bus, logger, db, gatewayId: holder } = given;
  const limits = given.applicationLimits ?? {};
  const { applicationPeers } = identity;
  if (!tenancy?.authenticate || !commands.send || !applicationPeers) return null;
  const { authenticate } = tenancy;
  const { send } = commands;
  return createApplications({
    ...{ clock, bus, logger, ...(db ? { db } : {}), holder, limits },
    identity: { ...identity, applicationPeers },
    tenancy: { authenticate },
    commands: { send },
  });
}

function connectionIds({ gatewayId, clock }: GatewayDeps & GatewayOptions): () => string {
  const life = clock.now().toString(36);
  let count = 0;
  return () => {
    count += 1;
    return `${gatewayId}-${life}-${count}`;
  };
}

/** MQTT 5.0 §4.13: the server says that it stops. The devices live on, so their wills stay shut. */
function shutDown(connection: Connection): void {
  if (!connection.isOpen) {
    connection.socket.destroy();
    return;
  }
  if (connection.version === 5) {
    connection.send({ cmd: "disconnect", reasonCode: REASON.serverShuttingDown });
  }
  connection.end("the gateway stops", "serverShuttingDown", true);
}

/** The other gateways have taken this one for dead: its devices must connect anew, and will. */
function sendAway(connections: ReadonlySet<Connection>): void {
  for (const connection of connections) {
    connection.fail(new ConnectionFault(REASON.serverBusy, "the gateway was taken for dead"), true);
  }
}

function startChecks(
  { deps, load }: GatewayContext,
  connections: ReadonlySet<Connection>,
  listener: Listener,
): () => void {
  const { clock } = deps;
  const figures = new GatewayFigures(connections, load);
  const lookAround = new LookAround(deps.bus, connections);
  let stopped = false;
  let checking = clock.after(CHECK_INTERVAL_MS, check);
  function check(): void {
    const now = clock.now();
    for (const connection of connections) connection.check(now);
    lookAround.step();
    figures.update();
    listener.check(now);
    if (!stopped) checking = clock.after(CHECK_INTERVAL_MS, check);
  }
  return () => {
    stopped = true;
    checking.cancel();
    lookAround.stop();
    figures.stop();
  };
}

/** What others have to say to the devices that are connected here. */
function subscribe(context: GatewayContext): (() => void)[] {
  const { deps, registry } = context;
  return [
    context.fanOut.start(),
    deps.bus.subscribe("device.>", (message, subject) => {
      const { kind } = message;
      const connection = registry.bySubject(subject);
      if (kind === "session") takeOver(context, subject, message);
      if (!connection?.isOpen || !isDelivery(kind)) return;
      const fresh = kind === "command" ? readFreshCommand(message) : undefined;
      if (fresh) connection.deliveries.hear(fresh);
      else connection.deliveries.wake(kind);
    }),
    deps.identity.onStandingChanged((change) => applyStanding(context, change)),
  ];
}

function isDelivery(kind: unknown): kind is "command" | "update" | "twin" {
  return kind === "command" || kind === "update" || kind === "twin";
}

/** The device has connected at another gateway (MQTT 5.0 §3.1.4 [MQTT-3.1.4-3]). */
function takeOver(
  { registry, sessions }: GatewayContext,
  subject: string,
  message: { epoch?: unknown; resumed?: unknown },
): void {
  const epoch = Number(message.epoch);
  sessions.hear(subject, epoch);
  const connection = registry.bySubject(subject);
  if (!connection?.isOpen || connection.session.epoch >= epoch) return;
  connection.takeOver(message.resumed === true);
}

function ended(connections: ReadonlySet<Connection>): Promise<unknown> {
  return Promise.all(
    [...connections].map(({ socket }) => {
      if (socket.destroyed) return undefined;
      // A reset on the way is an end like any other: `events.once` would reject on it.
      return new Promise<void>((resolve) => socket.once("close", () => resolve()));
    }),
  );
}

function timeout(delayMs: number): Promise<void> {
  return new Promise((resolve) => {
    setTimeout(resolve, delayMs).unref();
  });
}
