import { randomUUID } from "node:crypto";
import { messageOf } from "../kernel/index.ts";
import {
  CommandResult,
  checkMessage,
  DeviceEvent,
  Heartbeat,
  LogLine,
  ReportedMessage,
  TelemetrySample,
  UpdateState,
} from "../protocol/index.ts";
import type { Bench, ConformanceCase } from "./case.ts";
import { CaseFailure, DEVICE, type Kit, pause, sha256Of, TENANT } from "./kit.ts";

const TRACE = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01";
const HOUR_MS = 3_600_000;
const MAX_ATTEMPTS = 10;
const ATTEMPTS_MS = 10_000;
/** As long as is waited for something that must not come. */
const SILENCE_MS = 1_500;
/** As long as a request to a stranger may take to be sent. */
const STRANGER_MS = 500;

export const ENROLMENT_CASES: readonly ConformanceCase[] = [
  {
    id: "E1",
    title: "trusts no server but those of the given root",
    async run({ kit }) {
      // It comes, and sees a certificate of somebody else's root.
      await kit.until("it did not come to enrol", () => kit.https.attempts > 0);
      await pause(STRANGER_MS);
      const told = kit.http.map(({ method, path }) => `${method} ${path}`);
      kit.becomeGenuine();
      if (told.length > 0) throw new CaseFailure(`it sent a stranger ${told.join(", ")}`);
      return "nothing was sent to a server of another root";
    },
  },
  {
    id: "E2",
    title: "enrols by EST with its claim token",
    async run({ kit }) {
      const enrolled = () =>
        kit.http.find(({ path, status }) => path.endsWith("/simpleenroll") && status === 200);
      await kit.until("it did not enrol", enrolled);
      return `serial ${kit.authority.issuedTo(DEVICE)[0]?.serial}`;
    },
  },
  {
    id: "E3",
    title: "connects with its certificate and listens to what is its own",
    needs: ["E2"],
    async run({ kit }) {
      await kit.until("it did not connect", () => kit.connects().length > 0);
      const prefix = `tenants/${TENANT}/devices/${DEVICE}/`;
      for (const suffix of ["commands", "update", "desired"]) {
        const isHeard = () =>
          kit.mqtt.some(
            ({ kind, topic = "" }) =>
              kind === "subscribe" && [prefix + suffix, `${prefix}#`, `${prefix}+`].includes(topic),
          );
        await kit.until(`it did not subscribe to ${suffix}`, isHeard);
      }
      return "commands, update, desired";
    },
  },
];

export const LIFE_CASES: readonly ConformanceCase[] = [
  {
    id: "L1",
    title: "tells by heartbeats what runs",
    needs: ["E3"],
    async run({ kit }) {
      await kit.until("two heartbeats did not come", () => kit.heartbeats().length >= 2);
      const found = kit.heartbeats();
      const hash = found.at(-1)?.firmware?.hash;
      const wanted = sha256Of(kit.factoryImage);
      if (hash !== wanted) throw new CaseFailure(`it says that ${hash} runs, not ${wanted}`);
      for (const boot of Map.groupBy(found, ({ bootId }) => bootId).values()) {
        const numbers = boot.map(({ seq }) => seq);
        if (numbers.some((seq, index) => index > 0 && seq <= (numbers[index - 1] as number))) {
          throw new CaseFailure(`seq does not rise: ${numbers.join(", ")}`);
        }
      }
      return `${found.length} heartbeats`;
    },
  },
  {
    id: "L4",
    title: "tells of its boot",
    needs: ["E3"],
    async run({ kit }) {
      const told = () => kit.published("events").some(({ type }) => type === "boot");
      await kit.until("no event boot came", told);
      return "boot";
    },
  },
  {
    id: "L3",
    title: "comes back after a lost connection, and not in a frenzy",
    needs: ["E3"],
    async run({ kit }) {
      const from = Date.now();
      kit.platform.setDown(true);
      kit.front.drop();
      await pause(Math.min(ATTEMPTS_MS, kit.patienceMs / 3));
      const attempts = kit.mqtt.filter(
        ({ kind, at }) => at > from && (kind === "refused" || kind === "connect"),
      );
      kit.platform.setDown(false);
      if (attempts.length > MAX_ATTEMPTS) {
        throw new CaseFailure(`it tried ${attempts.length} times within ${ATTEMPTS_MS / 1_000} s`);
      }
      const again = Date.now();
      await kit.until(
        "it did not come back",
        () => kit.connects(again).length > 0,
        4 * kit.patienceMs,
      );
      return `${attempts.length} attempts while nobody answered, then back`;
    },
  },
];

function command(kit: Kit, name: string, changes: object = {}): string {
  const id = randomUUID();
  const times = { expiresAt: Date.now() + HOUR_MS, traceparent: TRACE };
  kit.platform.command(DEVICE, { id, name, args: {}, ...times, ...changes });
  return id;
}

function results(kit: Kit, id: string): CommandResult[] {
  return kit.published<CommandResult>(`commands/${id}/result`);
}

const FINAL = ["succeeded", "failed", "rejected"];

export async function endOf(kit: Kit, id: string): Promise<CommandResult> {
  const ended = () => results(kit, id).find(({ status }) => FINAL.includes(status));
  return kit.until("the command got no result", ended);
}

export { command as sendCommand };

export const COMMAND_CASES: readonly ConformanceCase[] = [
  {
    id: "C1",
    title: "carries a command out",
    needs: ["E3"],
    async run({ kit }) {
      const { status, error } = await endOf(kit, command(kit, "ping"));
      if (status !== "succeeded") throw new CaseFailure(`ping ${status}: ${error ?? ""}`);
      return "ping succeeded";
    },
  },
  {
    id: "C2",
    title: "carries out an id once, however often it comes",
    needs: ["C1"],
    async run({ kit }) {
      const id = command(kit, "ping");
      const first = await endOf(kit, id);
      const before = results(kit, id).length;
      const again = {
        id,
        name: "ping",
        args: {},
        expiresAt: Date.now() + HOUR_MS,
        traceparent: TRACE,
      };
      for (let time = 0; time < 2; time += 1) kit.platform.send(DEVICE, "commands", again);
      await pause(SILENCE_MS);
      const later = results(kit, id).slice(before);
      // What was remembered is word for word the same; what was done anew has a time of its own.
      const fresh = later.find((one) => JSON.stringify(one) !== JSON.stringify(first));
      if (fresh) throw new CaseFailure(`it was done again: ${JSON.stringify(fresh)}`);
      return `told ${later.length} times more, and the same`;
    },
  },
  {
    id: "C3",
    title: "does not carry out what has expired",
    needs: ["C1"],
    async run({ kit }) {
      const id = command(kit, "ping", { expiresAt: Date.now() - HOUR_MS });
      await pause(SILENCE_MS);
      const done = results(kit, id).find(({ status }) => status === "succeeded");
      if (done) throw new CaseFailure("a command that expired an hour ago was carried out");
      return results(kit, id).at(-1)?.status ?? "silence";
    },
  },
  {
    id: "C4",
    title: "says so where it does not know a command",
    needs: ["C1"],
    async run({ kit }) {
      const { status, error } = await endOf(kit, command(kit, "no-such-command"));
      if (status === "succeeded")
        throw new CaseFailure("an unknown command is said to have succeeded");
      if (!error) throw new CaseFailure(`${status} without a reason`);
      return `${status}: ${error}`;
    },
  },
];

export const TWIN_CASES: readonly ConformanceCase[] = [
  {
    id: "T1",
    title: "becomes what is desired, and says so",
    needs: ["E3"],
    async run({ kit }) {
      kit.platform.desire(DEVICE, { report: { seconds: 60, burst: true } });
      kit.platform.desire(DEVICE, { report: { seconds: 30, burst: null } });
      const twin = kit.platform.twins.of(DEVICE);
      await kit.until("version 2 did not come into force", () => twin.appliedVersion === 2);
      return JSON.stringify(twin.reported);
    },
  },
  {
    id: "T2",
    title: "is not changed by an older version",
    needs: ["T1"],
    async run({ kit }) {
      const { reportedVersion } = kit.platform.twins.of(DEVICE);
      const from = Date.now();
      const old = { version: 1, from: 0, patch: { report: { seconds: 1 } }, reportedVersion };
      kit.platform.send(DEVICE, "desired", old);
      await pause(SILENCE_MS);
      const wrong = kit
        .published("reported", from)
        .find(({ appliedVersion }) => appliedVersion !== 2);
      if (wrong) throw new CaseFailure(`it lives by another version: ${JSON.stringify(wrong)}`);
      return "version 2 is still in force";
    },
  },
];

const SCHEMAS: [RegExp, Parameters<typeof checkMessage>[0]][] = [
  [/^telemetry$/, TelemetrySample],
  [/^heartbeat$/, Heartbeat],
  [/^logs$/, LogLine],
  [/^events$/, DeviceEvent],
  [/^commands\/[^/]+\/result$/, CommandResult],
  [/^update\/state$/, UpdateState],
  [/^reported$/, ReportedMessage],
];

/** Looked at when all the rest has been said. */
export const LAST_CASES: readonly ConformanceCase[] = [
  {
    id: "L2",
    title: "sent nothing that is not its own or does not follow its schema",
    needs: ["E3"],
    async run({ kit }: Bench) {
      const fault = kit.mqtt.find(({ kind }) => kind === "fault");
      if (fault) throw new CaseFailure(`${fault.topic ?? "its connection"}: ${fault.message}`);
      let count = 0;
      for (const { kind, topic = "", payload } of kit.mqtt) {
        const schema = SCHEMAS.find(([pattern]) => pattern.test(topic))?.[1];
        if (kind !== "publish" || !schema) continue;
        for (const message of Array.isArray(payload) ? payload : [payload]) {
          count += 1;
          try {
            checkMessage(schema, message);
          } catch (error) {
            throw new CaseFailure(
              `${topic}: ${messageOf(error)}: ${JSON.stringify(message).slice(0, 300)}`,
            );
          }
        }
      }
      return `${count} messages`;
    },
  },
];
