import { messageOf } from "../../kernel/index.ts";
import type { BootChain, RootMetadata } from "../../protocol/index.ts";
import type { AgentDeps } from "../agent.ts";
import { Configurations } from "../work/configurations.ts";
import { runInShell } from "../work/run-in-shell.ts";
import { type ChainOfTrust, NO_FLOORS } from "./boot-back-end.ts";

export interface MeasuredStateDeps {
  agent: Pick<AgentDeps, "identity" | "storage" | "chain" | "clock">;
  /** The newest trust root that was followed. */
  root(): RootMetadata;
  life: AbortSignal;
  trustedNow(): number;
  log(level: "info" | "warn" | "error", message: string): void;
  /** There is something new to tell. */
  onChanged(): void;
}

/** What this start was verified by, as heartbeats tell it: once a connection, and when it changes. */
export class MeasuredState {
  readonly #chain: ChainOfTrust | undefined;
  readonly #configurations: Configurations;
  readonly #deps: MeasuredStateDeps;
  #found: BootChain | undefined;
  #securityFloor = NO_FLOORS.security;
  #sent = "";
  #delivered = "";

  constructor(deps: MeasuredStateDeps) {
    const { identity, storage, chain, clock } = deps.agent;
    this.#deps = deps;
    this.#chain = chain;
    this.#configurations = new Configurations({
      ...{ identity, storage, chain, clock, runScript: runInShell, root: deps.root },
      ...{ trustedNow: deps.trustedNow, log: deps.log, life: deps.life },
    });
  }

  async start(): Promise<void> {
    await this.#measure();
    await this.#configurations.start();
  }

  /** Takes a configuration over; whatever comes of it is measured and told. */
  async applyConfiguration(envelope: unknown): Promise<{ version: number }> {
    try {
      return await this.#configurations.apply(envelope);
    } finally {
      await this.#measure();
      this.#deps.onChanged();
    }
  }

  /** Reads keys and floors again, e.g. after a write to the firmware. */
  async #measure(): Promise<void> {
    try {
      this.#found = await this.#chain?.describe();
      this.#securityFloor = (await this.#chain?.floors())?.security ?? NO_FLOORS.security;
    } catch (error) {
      // Without it nothing is claimed: the platform then takes the start for unverified.
      this.#deps.log("error", `the boot chain cannot be measured: ${messageOf(error)}`);
    }
  }

  /** Lowest security counter by the machine's own authenticated storage. */
  securityFloor(): number {
    return this.#securityFloor;
  }

  /** Undefined where nothing was verified and nothing is configured. */
  report(): BootChain | undefined {
    const configuration = this.#configurations.stage();
    const found = this.#found;
    if (!found && configuration.counter === 0 && !configuration.fault) return undefined;
    const chain = found ?? {
      kind: "none",
      secureBoot: false,
      setupMode: false,
      keys: {},
      stages: [],
    };
    return { ...chain, stages: [...chain.stages, configuration] };
  }

  /** What the next heartbeat says of it; nothing where the platform knows it. */
  forHeartbeat(): { bootChain?: BootChain } {
    const bootChain = this.report();
    const text = JSON.stringify(bootChain ?? null);
    if (!bootChain || text === this.#delivered) return {};
    this.#sent = text;
    return { bootChain };
  }

  /** The platform has acknowledged a heartbeat. */
  delivered(): void {
    this.#delivered = this.#sent;
  }

  /** On a new connection it is told again. */
  connected(): void {
    this.#sent = "";
    this.#delivered = "";
  }
}
