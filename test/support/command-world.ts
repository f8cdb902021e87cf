import { setImmediate as turn } from "node:timers/promises";
import { StateStore } from "../../src/agent/agent-state.ts";
import { Commands as AgentCommands } from "../../src/agent/work/commands.ts";
import type { Commands } from "../../src/commands/index.ts";
import type { VirtualClock } from "../../src/kernel/index.ts";
import type { CommandMessage, CommandResult } from "../../src/protocol/index.ts";
import { PagePool, SimulatedFlash } from "../../src/simulator/index.ts";

export const DEVICE = "d-1";
const WINDOW = 4;

/** One session's way to the device and back; both directions keep their order. */
interface Session {
  toDevice: CommandMessage[];
  acknowledgements: string[];
  /** What the gateway has sent and not yet known to be delivered. */
  sent: Set<string>;
}

/**
 * A device with the real agent's commands on a simulated flash, and a gateway that does what ours
 * does with the real queue. The network between them is the test's: it loses what it is told to.
 */
export class CommandWorld {
  readonly executed: { id: string; at: number; expiresAt: number }[] = [];
  readonly fetched: CommandMessage[][] = [];
  readonly #commands: Commands;
  readonly #tenant: string;
  readonly #clock: VirtualClock;
  readonly #flash = new SimulatedFlash(new PagePool());
  readonly #fails: (id: string) => boolean;
  #session: Session | undefined;
  #agent: AgentCommands | undefined;
  #state: StateStore | undefined;
  #life = new AbortController();

  constructor(options: {
    commands: Commands;
    tenant: string;
    clock: VirtualClock;
    fails: (id: string) => boolean;
  }) {
    this.#commands = options.commands;
    this.#tenant = options.tenant;
    this.#clock = options.clock;
    this.#fails = options.fails;
  }

  /** A new connection; it ends the one before, with everything that was on its way. */
  async connect(): Promise<void> {
    if (!this.#agent) await this.boot();
    this.#session = { toDevice: [], acknowledgements: [], sent: new Set() };
    // The gateway looks before the device has told what it has done already.
    await this.fetch();
    this.#agent?.connected();
    await this.#quiet();
  }

  /** The gateway is killed, or the line is cut. */
  disconnect(): void {
    this.#session = undefined;
  }

  /** The gateway looks for what waits, and sends as much as the window holds. */
  async fetch(): Promise<void> {
    const session = this.#session;
    if (!session) return;
    const inFlight = session.toDevice.length + session.acknowledgements.length;
    const free = WINDOW - inFlight;
    if (free <= 0) return;
    const limit = session.sent.size + free;
    const waiting = await this.#commands.undelivered(this.#tenant, DEVICE, limit);
    this.fetched.push(waiting);
    for (const message of waiting.filter(({ id }) => !session.sent.has(id)).slice(0, free)) {
      session.sent.add(message.id);
      session.toDevice.push(message);
    }
  }

  /** The next message arrives; power or line may be cut before the device can answer. */
  async arrive(cut: "power" | "line" | "nothing" = "nothing"): Promise<void> {
    const session = this.#session;
    const message = session?.toDevice.shift();
    if (!session || !message) return;
    if (cut === "line") this.#session = undefined;
    if (cut === "power") {
      this.#flash.cutPowerAfter(3, () => this.#powerOff());
      await this.#agent?.receive(message).catch(() => {});
      this.#flash.cancelPowerCut();
      this.#powerOff();
      await this.boot();
      return;
    }
    await this.#agent?.receive(message);
    if (this.#session === session) session.acknowledgements.push(message.id);
    await this.#quiet();
  }

  /** The next acknowledgement reaches the gateway, which records it. */
  async acknowledge(): Promise<void> {
    const id = this.#session?.acknowledgements.shift();
    if (id === undefined) return;
    await this.#commands.markDelivered(this.#tenant, DEVICE, [id]);
    this.#session?.sent.delete(id);
  }

  async boot(): Promise<void> {
    this.#life.abort();
    this.#flash.restorePower();
    this.#life = new AbortController();
    this.#state = await StateStore.load(this.#flash.mount(), this.#clock);
    this.#agent = new AgentCommands({
      clock: this.#clock,
      state: this.#state,
      handlers: {
        work: async (args, { id }) => {
          const { expiresAt } = args as { expiresAt: number };
          this.executed.push({ id, at: this.#clock.now(), expiresAt });
          if (this.#fails(id)) throw new Error("it did not work");
        },
      },
      allowed: ["work"],
      bootId: "boot",
      life: this.#life.signal,
      publish: (topic, payload) => this.#report(topic.split("/")[1] as string, payload),
      log: () => {},
    });
    await this.#agent.start(null);
  }

  /** Connected for good, until nothing waits any more. */
  async drain(): Promise<void> {
    await this.connect();
    for (;;) {
      await this.fetch();
      if (!this.#session?.toDevice.length) break;
      while (this.#session?.toDevice.length) {
        await this.arrive();
        await this.acknowledge();
      }
    }
    await this.#quiet();
  }

  async #report(id: string, payload: string): Promise<void> {
    if (!this.#session) throw new Error("there is no connection");
    const peer = { tenantId: this.#tenant, deviceId: DEVICE };
    const result = JSON.parse(payload) as CommandResult;
    await this.#commands.recordResult(peer, id, result);
    // As if the acknowledgement had been lost and the device had said it again.
    await this.#commands.recordResult(peer, id, result);
  }

  #powerOff(): void {
    this.#life.abort();
    this.#flash.cutPower();
    this.#session = undefined;
    this.#agent = undefined;
  }

  /** Until the agent has nothing more to do or to say. */
  async #quiet(): Promise<void> {
    for (let idle = 0; idle < 3; ) {
      await turn();
      const isBusy = this.#state?.current.commands.some(
        ({ result, delivered }) => result === null || (this.#session && !delivered),
      );
      if (isBusy) await new Promise((resolve) => setTimeout(resolve, 1));
      idle = isBusy ? 0 : idle + 1;
    }
  }
}
