import { messageOf, randomId } from "../kernel/index.ts";
import { type LogLevel, type LogSpan, spanAttributes } from "../protocol/index.ts";
import type { AgentDeps, AgentStatus } from "./agent.ts";
import { outboxOf, twinOf, watchdogKeeperOf } from "./agent-parts.ts";
import { AgentReports } from "./agent-reports.ts";
import { AGENT_DEFAULTS, type AgentSettings } from "./agent-settings.ts";
import { StateStore } from "./agent-state.ts";
import { bootReason } from "./boot/boot-reason.ts";
import { MeasuredState } from "./boot/measured-state.ts";
import type { WatchdogKeeper } from "./boot/watchdog.ts";
import { Connection } from "./connection/connection.ts";
import { type MessageReceivers, routeMessage } from "./connection/route-message.ts";
import { Rotation } from "./identity/rotation.ts";
import type { Outbox } from "./offline/outbox.ts";
import { SequenceNumbers } from "./offline/sequence-numbers.ts";
import { type BootStatus, otherSlot } from "./ports.ts";
import { NO_CONDITIONS } from "./update/conditions.ts";
import { artifactsFor } from "./update/own-artifacts.ts";
import { runSelfTest } from "./update/self-test.ts";
import {
  describeOther,
  describeSlot,
  readSlotRecord,
  type SlotRecord,
} from "./update/slot-record.ts";
import { TrustStore } from "./update/trust-store.ts";
import { Updater } from "./update/updater.ts";
import { applicationContext } from "./work/application-context.ts";
import { builtInCommands } from "./work/built-in-commands.ts";
import { Commands } from "./work/commands.ts";
import { DeviceLog } from "./work/device-log.ts";
import { Heartbeats } from "./work/heartbeats.ts";
import { logLevelAt, withLogLevel } from "./work/log-level.ts";
import { restartForCommand } from "./work/restart-for-command.ts";
import { runScriptCommand } from "./work/run-script.ts";
import type { Twin } from "./work/twin.ts";

/** The parts of the agent, put together for one boot. */
export class RunningAgent {
  readonly #deps: AgentDeps;
  readonly #settings: AgentSettings;
  readonly #life: AbortSignal;
  readonly #state: StateStore;
  readonly #trust: TrustStore;
  readonly #boot: BootStatus;
  readonly #bootId: string;
  readonly #bootReason: string;
  readonly #startedAt: number;
  readonly #numbers: SequenceNumbers;
  readonly #log: DeviceLog;
  readonly #outbox: Outbox;
  readonly #connection: Connection;
  readonly #heartbeats: Heartbeats;
  readonly #updater: Updater;
  readonly #commands: Commands;
  readonly #rotation: Rotation | undefined;
  readonly #measured: MeasuredState;
  readonly #twin: Twin;
  readonly #reports: AgentReports;
  readonly #watchdog: WatchdogKeeper | undefined;
  #slots: Record<"running" | "other", SlotRecord | undefined>;

  static async boot(deps: AgentDeps, life: AbortSignal): Promise<RunningAgent> {
    const trust = await TrustStore.load(deps.storage, deps.trustRoot);
    const state = await StateStore.load(deps.storage, deps.clock);
    const boot = await deps.bootloader.status();
    const running = await readSlotRecord(deps.storage, boot.running);
    const other = await readSlotRecord(deps.storage, otherSlot(boot.running));
    const numbers = await SequenceNumbers.open(state);
    const slots = { running, other };
    return new RunningAgent(deps, life, { state, trust, boot, numbers, slots });
  }

  private constructor(
    deps: AgentDeps,
    life: AbortSignal,
    found: {
      state: StateStore;
      trust: TrustStore;
      boot: BootStatus;
      numbers: SequenceNumbers;
      slots: Record<"running" | "other", SlotRecord | undefined>;
    },
  ) {
    this.#deps = deps;
    this.#settings = { ...AGENT_DEFAULTS, ...deps.settings };
    this.#life = life;
    this.#state = found.state;
    this.#trust = found.trust;
    this.#boot = found.boot;
    this.#numbers = found.numbers;
    this.#slots = found.slots;
    this.#bootId = (deps.newId ?? randomId)();
    this.#bootReason = bootReason(found.state.current, found.boot);
    this.#startedAt = deps.clock.now();
    this.#outbox = outboxOf(deps, this.#settings.outbox, {
      connection: () => this.#connection,
      onProblem: (message) => this.#log.write("debug", message),
    });
    this.#log = this.#createLog();
    this.#measured = this.#createMeasuredState();
    this.#connection = this.#createConnection();
    this.#heartbeats = this.#createHeartbeats();
    this.#updater = this.#createUpdater();
    this.#commands = this.#createCommands();
    this.#rotation = this.#createRotation();
    this.#watchdog = watchdogKeeperOf(deps, (message) => this.#log.write("error", message));
    this.#twin = twinOf(deps, life, this.#connection, this.#logAs("twin"));
    this.#reports = this.#createReports();
  }

  /** Starts the parts; the update goes on where the last boot left it. */
  async begin(): Promise<void> {
    const restartedBy = this.#state.current.restart?.commandId ?? null;
    await this.#outbox.load();
    if (this.#state.wasDamaged || this.#trust.wasDamaged) {
      this.#log.write("error", "the agent's state was damaged");
    }
    await this.#event("boot", { reason: this.#bootReason });
    await this.#commands.start(restartedBy);
    if (this.#state.current.restart) {
      await this.#state.update((state) => ({ ...state, restart: null }));
    }
    await this.#measured.start();
    await this.#twin.start();
    this.#startApplication();
    this.#connection.start(this.#settings.connectSpreadMs);
    this.#heartbeats.start();
    this.#updater.start();
    this.#rotation?.start();
    this.#watchdog?.start();
  }

  async stop(): Promise<void> {
    this.#heartbeats.stop();
    await this.#deps.application.stop();
    await this.#connection.stop();
    await this.#updater.idle();
    await this.#rotation?.stop();
    await this.#twin.idle();
    await this.#outbox.stop();
    // A restart that does not come is the watchdog's to make.
    await this.#watchdog?.stop({ inOrder: this.#state.current.restart === null });
  }

  kill(): void {
    this.#heartbeats.stop();
    this.#outbox.halt();
    this.#watchdog?.stop({ inOrder: false });
    this.#connection.drop();
    this.#deps.application.stop().catch(() => {
      // It has lost its machine; how it ends is of no interest.
    });
  }

  idle(): Promise<void> {
    return this.#updater.idle();
  }

  status(): AgentStatus {
    return this.#reports.status();
  }

  #firmware() {
    return describeSlot(this.#boot.running, this.#slots.running);
  }

  #createLog(): DeviceLog {
    return new DeviceLog({
      now: () => this.#deps.clock.now(),
      nextSequence: () => this.#numbers.next(),
      level: () => logLevelAt(this.#state.current, this.#state.trustedNow()),
      send: (line) => this.#unlessDead(this.#outbox.add("logs", line)),
      local: this.#deps.localLog,
    });
  }

  #logAs(logger: string) {
    return (level: LogLevel, text: string, traceparent: string | null = null, span?: LogSpan) => {
      const attributes = span && spanAttributes(span);
      this.#log.write(level, text, { logger, traceparent, attributes });
    };
  }

  #createConnection(): Connection {
    const { transport, clock, random, credentials } = this.#deps;
    let presented = 0;
    return new Connection({
      transport,
      clock,
      random,
      options: this.#settings.connection,
      life: this.#life,
      onMessage: (topic, payload) => this.#onMessage(topic, payload),
      connectOptions: () => {
        const generation = credentials?.present();
        presented = generation?.number ?? 0;
        return generation ? { credentials: generation } : {};
      },
      onRefused: (error) => this.#rotation?.refused(error),
      onConnected: () => {
        this.#unlessDead(this.#rotation?.connected(presented) ?? Promise.resolve());
        this.#measured.connected();
        if (!this.#boot.trial) this.#unlessDead(this.#deps.healthy?.() ?? Promise.resolve());
        this.#updater.connected();
        this.#commands.connected();
        this.#twin.connected();
        this.#outbox.wake();
        this.#heartbeats.send();
      },
      onProblem: (message) => this.#log.write("info", message, { logger: "connection" }),
    });
  }

  #createUpdater(): Updater {
    const { identity, clock, random, storage, slots, bootloader } = this.#deps;
    return new Updater({
      ...{ identity, clock, random, storage, slots, bootloader, trust: this.#trust },
      artifacts: artifactsFor(this.#deps),
      components: this.#deps.components ?? new Map(),
      conditions: this.#deps.conditions ?? NO_CONDITIONS,
      formats: this.#settings.formats,
      maxPatchMemoryBytes: this.#settings.maxPatchMemoryBytes,
      trialTries: this.#settings.trialTries,
      hardwareFloor: () => this.#measured.securityFloor(),
      state: this.#state,
      bootId: this.#bootId,
      life: this.#life,
      reboot: this.#deps.reboot,
      selfTest: (signal) =>
        runSelfTest(
          this.#deps.application,
          (until) => this.#connection.whenConnected(until),
          signal,
        ),
      running: () => this.#firmware(),
      onSlotChanged: (record) => {
        this.#slots = { ...this.#slots, other: record };
      },
      publish: (state) => this.#connection.publish("update/state", JSON.stringify(state)),
      event: (type, attributes) => this.#event(type, attributes),
      keepWords: () => this.#outbox.keep(),
      log: this.#logAs("update"),
    });
  }

  #createCommands(): Commands {
    const { clock, commandHandlers } = this.#deps;
    const builtIn = builtInCommands({
      now: () => clock.now(),
      setLogLevel: (level, forSeconds) =>
        this.#state.update((state) =>
          withLogLevel(state, level, { forSeconds, nowMs: this.#state.trustedNow() }),
        ),
      diagnostics: () => this.#reports.diagnostics(),
      reboot: (commandId) => this.#rebootFor(commandId),
      rotate: () => this.#rotate(),
      applyConfiguration: (envelope) => this.#measured.applyConfiguration(envelope),
    });
    return new Commands({
      clock,
      state: this.#state,
      handlers: {
        ...commandHandlers,
        ...builtIn,
        "run-script": runScriptCommand({
          identity: this.#deps.identity,
          root: () => this.#trust.current.root.signed,
          trustedNow: () => this.#state.trustedNow(),
          log: this.#logAs("commands"),
        }),
      },
      allowed: this.#settings.allowedCommands,
      life: this.#life,
      bootId: this.#bootId,
      publish: (topic, payload, options) => this.#connection.publish(topic, payload, options),
      log: this.#logAs("commands"),
    });
  }

  #createRotation(): Rotation | undefined {
    const { credentials, reenrolment, identity, transport, clock, random } = this.#deps;
    if (!credentials) return undefined;
    return new Rotation({
      ...{ identity, transport, reenrolment, clock, random },
      store: credentials,
      connection: this.#connection,
      life: this.#life,
      newId: this.#deps.newId ?? randomId,
      options: this.#settings.rotation,
      event: (type, attributes) => this.#event(type, attributes),
      log: this.#logAs("certificate"),
    });
  }

  #createReports(): AgentReports {
    return new AgentReports({
      agent: this.#deps,
      formats: this.#settings.formats,
      ...{ bootId: this.#bootId, bootReason: this.#bootReason, startedAt: this.#startedAt },
      ...{ onTrial: this.#boot.trial, state: this.#state, trust: this.#trust, log: this.#log },
      ...{ outbox: this.#outbox, connection: this.#connection, measured: this.#measured },
      twin: this.#twin,
      firmware: () => this.#firmware(),
      otherSlot: () => describeOther(this.#slots.other),
      nextSequence: () => this.#numbers.next(),
    });
  }

  #createMeasuredState(): MeasuredState {
    return new MeasuredState({
      agent: this.#deps,
      root: () => this.#trust.current.root.signed,
      life: this.#life,
      trustedNow: () => this.#state.trustedNow(),
      log: this.#logAs("boot-chain"),
      onChanged: () => this.#heartbeats.send(),
    });
  }

  #rotate(): Promise<{ serial: string; notAfter: string }> {
    if (this.#rotation) return this.#rotation.rotateNow();
    return Promise.reject(new Error("the certificate of this device is not the agent's to renew"));
  }

  #createHeartbeats(): Heartbeats {
    const { clock, random } = this.#deps;
    return new Heartbeats({
      clock,
      random,
      intervalMs: this.#settings.heartbeatIntervalMs,
      isConnected: () => this.#connection.isConnected,
      compose: () => this.#reports.heartbeat(),
      publish: (payload) =>
        this.#connection.publish("heartbeat", payload).then(() => this.#measured.delivered()),
      onProblem: (message) => this.#log.write("debug", message),
    });
  }

  /** Resolves when the event is on disk; absent attributes are left out. */
  #event(type: string, attributes: Record<string, unknown>): Promise<void> {
    const given = Object.entries(attributes).filter(([, value]) => value != null);
    return this.#outbox.add("events", {
      ...Object.fromEntries(given),
      ts: this.#deps.clock.now(),
      seq: this.#numbers.next(),
      type,
      bootId: this.#bootId,
      firmware: this.#firmware(),
    });
  }

  #onMessage(topic: string, payload: Uint8Array): Promise<void> {
    const receivers: MessageReceivers = {
      update: (message) => this.#updater.receive(message),
      trust: (message) => this.#trust.receive(message, this.#log),
      desired: (message) => this.#twin.receive(message),
      command: (message) => this.#commands.receive(message),
      certificate: (suffix, message) => this.#rotation?.receive(suffix, message),
      unreadable: (problem) => this.#log.write("warn", problem),
    };
    return routeMessage(receivers, topic, payload);
  }

  #startApplication(): void {
    const starting = this.#deps.application.start(
      applicationContext({
        firmware: this.#firmware(),
        bootId: this.#bootId,
        now: () => this.#deps.clock.now(),
        nextSequence: () => this.#numbers.next(),
        log: this.#log,
        sample: (sample) => this.#unlessDead(this.#outbox.add("telemetry", sample)),
        event: (type, attributes) => this.#unlessDead(this.#event(type, attributes)),
        report: (patch) => this.#unlessDead(this.#twin.report(patch)),
        sleep: (seconds) => this.#heartbeats.announceSleep(seconds),
      }),
    );
    starting.catch((error) => {
      if (this.#life.aborted) return;
      this.#unlessDead(this.#event("crash", { reason: "start", message: messageOf(error) }));
    });
  }

  async #rebootFor(commandId: string): Promise<void> {
    const { clock, reboot } = this.#deps;
    await this.#outbox.keep();
    const publish = (topic: string, payload: string) => this.#connection.publish(topic, payload);
    const deps = { clock, state: this.#state, life: this.#life, publish, reboot };
    return restartForCommand(deps, commandId);
  }

  /** For work that nobody waits for: its failure is logged, and ignored once the power is gone. */
  #unlessDead(work: Promise<void>): void {
    work.catch((error) => {
      if (!this.#life.aborted) this.#deps.localLog?.("error", messageOf(error));
    });
  }
}
