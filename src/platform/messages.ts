import type { BusMessage, Flood } from "../bus/index.ts";
import type { Config, Role } from "../kernel/config.ts";
import type { StoreAddresses } from "./stores.ts";

/** What the supervisor tells a role process; secrets travel here and never in its environment. */
export type ToRoleProcess =
  | {
      kind: "start";
      config: Config;
      stores: StoreAddresses;
      roles: Role[];
      processName: string;
      /** How many role processes there are. */
      processes?: number;
      allowPrivateWebhooks: boolean;
    }
  | { kind: "bus"; subject: string; message: BusMessage }
  /** Whether the bus to other machines is there. */
  | { kind: "uplink"; isConnected: boolean; flood?: Flood | undefined }
  | { kind: "stop" };

/** What a role process tells the supervisor. */
export type FromRoleProcess =
  | { kind: "ready" }
  | { kind: "failed"; message: string }
  | { kind: "bus"; subject: string; message: BusMessage };
