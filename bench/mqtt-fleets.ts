// The devices of a big run, in as many processes as their files need.
import { type ChildProcess, fork } from "node:child_process";
import { once } from "node:events";
import type { ConnectOrder, FleetOrder } from "./mqtt-fleet.ts";

interface Fleet {
  child: ChildProcess;
  connected: number;
}

export class Fleets {
  readonly #fleets: Fleet[];
  readonly #room: number;

  /** `room` is how many connections one process may have. */
  constructor(order: FleetOrder, connections: number, room: number) {
    this.#room = room;
    this.#fleets = Array.from({ length: Math.ceil(connections / room) }, () => {
      const child = fork(new URL("./mqtt-fleet.ts", import.meta.url), { execArgv: [] });
      child.send(order);
      return { child, connected: 0 };
    });
  }

  get connected(): number {
    return this.#fleets.reduce((sum, { connected }) => sum + connected, 0);
  }

  /** Connects `count` more devices, from number `first` on. */
  async connect(count: number, load: Omit<ConnectOrder, "count">): Promise<void> {
    let { first } = load;
    let left = count;
    for (const fleet of this.#fleets) {
      const more = Math.min(left, this.#room - fleet.connected);
      if (more <= 0) continue;
      fleet.child.send({ ...load, first, count: more } satisfies ConnectOrder);
      const lost = once(fleet.child, "exit").then(() => {
        throw new Error("a process of devices has ended");
      });
      lost.catch(() => {});
      await Promise.race([once(fleet.child, "message"), lost]);
      fleet.connected += more;
      first += more;
      left -= more;
    }
  }

  async close(): Promise<void> {
    await Promise.all(
      this.#fleets.map(async ({ child }) => {
        const ended = once(child, "exit");
        child.kill("SIGKILL");
        await ended;
      }),
    );
  }
}
