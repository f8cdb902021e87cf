import type { ArtifactFormat, Heartbeat, RunningFirmware } from "../protocol/index.ts";
import type { AgentDeps, AgentStatus } from "./agent.ts";
import { announcedFormats } from "./agent-settings.ts";
import type { StateStore } from "./agent-state.ts";
import type { MeasuredState } from "./boot/measured-state.ts";
import type { Connection } from "./connection/connection.ts";
import type { Outbox } from "./offline/outbox.ts";
import type { TrustStore } from "./update/trust-store.ts";
import type { DeviceLog } from "./work/device-log.ts";
import type { Twin } from "./work/twin.ts";

export interface AgentReportsDeps {
  agent: Pick<AgentDeps, "clock" | "application" | "credentials" | "storage">;
  formats: readonly ArtifactFormat[];
  bootId: string;
  bootReason: string;
  startedAt: number;
  onTrial: boolean;
  state: StateStore;
  trust: TrustStore;
  outbox: Outbox;
  connection: Connection;
  measured: MeasuredState;
  twin: Twin;
  log: DeviceLog;
  firmware(): RunningFirmware;
  otherSlot(): AgentStatus["otherSlot"];
  nextSequence(): number;
}

/** What the agent says about itself: to the platform, to an operator and at the device. */
export class AgentReports {
  readonly #deps: AgentReportsDeps;

  constructor(deps: AgentReportsDeps) {
    this.#deps = deps;
  }

  status(): AgentStatus {
    const { state, connection, outbox, agent, bootId, bootReason, onTrial } = this.#deps;
    const { update } = state.current;
    return {
      bootId,
      bootReason,
      firmware: this.#deps.firmware(),
      otherSlot: this.#deps.otherSlot(),
      trial: onTrial && update?.phase === "confirming",
      connected: connection.isConnected,
      update: update ? { updateId: update.assignment.signed.updateId, phase: update.phase } : null,
      backlog: outbox.figures(),
      twin: this.#deps.twin.status(),
      certificate: agent.credentials?.status() ?? null,
    };
  }

  heartbeat(): Heartbeat {
    const { agent, outbox, connection, measured, formats, bootId } = this.#deps;
    const backlog = outbox.figures();
    return {
      ts: agent.clock.now(),
      seq: this.#deps.nextSequence(),
      bootId,
      uptimeSeconds: this.#uptimeSeconds(),
      firmware: this.#deps.firmware(),
      otherSlot: this.#deps.otherSlot(),
      formats: announcedFormats(formats),
      ...measured.forHeartbeat(),
      metrics: {
        ...agent.application.metrics(),
        "agent.backlog": backlog.waiting,
        "agent.dropped": backlog.dropped,
        "agent.reconnects": connection.losses,
      },
    };
  }

  async diagnostics(): Promise<Record<string, unknown>> {
    const { agent, state, trust, measured, log } = this.#deps;
    return {
      ...this.status(),
      uptimeSeconds: this.#uptimeSeconds(),
      metrics: agent.application.metrics(),
      trust: trust.describe(),
      securityFloor: state.current.securityFloor,
      bootChain: measured.report() ?? null,
      lastSequence: state.current.lastSequence,
      files: await agent.storage.list(),
      log: log.recent(),
    };
  }

  #uptimeSeconds(): number {
    const { agent, startedAt } = this.#deps;
    return Math.max(0, Math.round((agent.clock.now() - startedAt) / 1000));
  }
}
