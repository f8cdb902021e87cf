import { generateKeyPairSync } from "node:crypto";
import {
  type Assignment,
  type AssignmentMessage,
  isFinalPhase,
  signDocument,
  type UpdateState,
} from "../protocol/index.ts";
import type { ConformanceCase } from "./case.ts";
import { CaseFailure, DEVICE, FAILING_MARK, type Kit, pause, sha256Of } from "./kit.ts";

/** An update may take several of the other things' time. */
const UPDATE_PATIENCE = 4;
const SILENCE_MS = 2_000;

async function finalState(kit: Kit, updateId: string): Promise<UpdateState> {
  const ended = () => kit.states(updateId).find(({ phase }) => isFinalPhase(phase));
  return kit.until("the update did not end", ended, UPDATE_PATIENCE * kit.patienceMs);
}

async function expectRunning(kit: Kit, hash: string): Promise<void> {
  const { firmware } = await kit.running();
  if (firmware.hash !== hash) {
    throw new CaseFailure(`${firmware.hash} (${firmware.version}) runs, not ${hash}`);
  }
}

async function install(
  kit: Kit,
  version: string,
  changes: Partial<Assignment> = {},
): Promise<{ message: AssignmentMessage; state: UpdateState; image: Buffer }> {
  const image = kit.image(`release ${version}`);
  const release = kit.platform.release(version, image);
  const before = await kit.running();
  const message = kit.platform.assign(DEVICE, release, [kit.full(image)], changes);
  const state = await finalState(kit, message.signed.updateId);
  if (state.phase !== "succeeded") {
    throw new CaseFailure(`${state.phase}: ${state.error?.element}, ${state.error?.message}`);
  }
  if (state.running?.hash !== sha256Of(image)) {
    throw new CaseFailure(`succeeded is said, with ${state.running?.hash ?? "nothing"} running`);
  }
  await expectRunning(kit, sha256Of(image));
  const after = await kit.running();
  if (after.bootId === before.bootId)
    throw new CaseFailure("it was not started again: the bootId is the same");
  return { message, state, image };
}

/** Sends what must not be installed, and sees that it is not. */
async function refused(
  kit: Kit,
  what: string,
  send: () => { updateId: string; image: Buffer | null },
): Promise<string> {
  const runs = (await kit.running()).firmware.hash;
  const from = Date.now();
  const { updateId, image } = send();
  const told = await kit
    .until(
      "",
      () => kit.states(updateId).find(({ phase }) => isFinalPhase(phase)),
      kit.patienceMs / 2,
    )
    .catch(() => undefined);
  if (told?.phase === "succeeded") throw new CaseFailure(`${what} is said to have succeeded`);
  await pause(told ? 500 : SILENCE_MS);
  const installing = kit
    .states(updateId)
    .find(({ phase }) => phase === "rebooting" || phase === "confirming");
  if (installing) throw new CaseFailure(`${what} came as far as ${installing.phase}`);
  if (image && kit.downloads({ sha256: sha256Of(image) }, from).length > 0) {
    throw new CaseFailure(`${what} was downloaded`);
  }
  await expectRunning(kit, runs);
  return told ? `${told.phase}: ${told.error?.element ?? "no element"}` : "silence";
}

type Refusal = [
  id: string,
  title: string,
  send: (kit: Kit) => { updateId: string; image: Buffer | null },
];

function assignUnusual(
  kit: Kit,
  version: string,
  changes: { assignment?: Partial<Assignment>; release?: object; keys?: number },
): { updateId: string; image: Buffer } {
  const image = kit.image(`release ${version}`);
  const release = kit.platform.release(version, image, changes.release ?? {}, changes.keys ?? 2);
  const { signed } = kit.platform.assign(DEVICE, release, [kit.full(image)], changes.assignment);
  return { updateId: signed.updateId, image };
}

const REFUSALS: readonly Refusal[] = [
  ["U5", "a release with too few signatures", (kit) => assignUnusual(kit, "3.0.0", { keys: 1 })],
  [
    "U6",
    "an assignment that the director did not sign",
    (kit) => {
      const image = kit.image("release 3.0.1");
      const release = kit.platform.release("3.0.1", image);
      const good = kit.platform.prepare(DEVICE, release, [kit.full(image)]);
      const stranger = generateKeyPairSync("ed25519").privateKey;
      const forged = { ...good, ...signDocument(good.signed, [stranger]) };
      kit.platform.send(DEVICE, "update", forged);
      return { updateId: good.signed.updateId, image };
    },
  ],
  [
    "U7",
    "an assignment for another device",
    (kit) => {
      const image = kit.image("release 3.0.2");
      const release = kit.platform.release("3.0.2", image);
      const other = kit.platform.prepare(DEVICE, release, [kit.full(image)], { device: "unit-2" });
      kit.platform.send(DEVICE, "update", other);
      return { updateId: other.signed.updateId, image };
    },
  ],
  [
    "U8",
    "an assignment that has expired",
    (kit) =>
      assignUnusual(kit, "3.0.3", {
        assignment: { expires: new Date(Date.now() - 3_600_000).toISOString() },
      }),
  ],
  [
    "U9",
    "a sequence that was seen already",
    (kit) => {
      const image = kit.image("release 3.0.4");
      const release = kit.platform.release("3.0.4", image);
      const old = kit.platform.prepare(DEVICE, release, [kit.full(image)], { sequence: 1 });
      kit.platform.send(DEVICE, "update", old);
      return { updateId: old.signed.updateId, image };
    },
  ],
  [
    "U10",
    "a release for other hardware",
    (kit) => assignUnusual(kit, "3.0.5", { release: { hardwareRevisions: ["r9"] } }),
  ],
  ["U11", "an older version without leave", (kit) => assignUnusual(kit, "0.9.0", {})],
];

const GOOD_CASES: readonly ConformanceCase[] = [
  {
    id: "U1",
    title: "installs what is new, signed and for it",
    needs: ["L1"],
    async run({ kit }) {
      const { message } = await install(kit, "1.1.0");
      const phases = kit.states(message.signed.updateId).map(({ phase }) => phase);
      return [...new Set(phases)].join(", ");
    },
  },
  {
    id: "U3",
    title: "does not install again what is repeated",
    needs: ["U1"],
    async run({ kit }) {
      const { message, image } = await install(kit, "1.2.0");
      const before = await kit.running();
      const from = Date.now();
      for (let time = 0; time < 2; time += 1) kit.platform.send(DEVICE, "update", message);
      await pause(SILENCE_MS);
      const after = await kit.running();
      const count = kit.downloads(kit.full(image), from).length;
      if (count > 0) throw new CaseFailure(`it was downloaded ${count} times more`);
      if (after.bootId !== before.bootId) throw new CaseFailure("it was started again");
      return "no download, no start";
    },
  },
  {
    id: "U2",
    title: "goes on with a download where it broke off",
    needs: ["U1"],
    async run({ kit }) {
      kit.https.faults.cutDownload = true;
      const { image } = await install(kit, "1.3.0");
      const offsets = kit.downloads(kit.full(image)).map(({ from = 0 }) => from);
      if (!offsets.slice(1).some((from) => from > 0)) {
        throw new CaseFailure(`it began anew: ranges from ${offsets.join(", ")}`);
      }
      return `ranges from ${offsets.join(", ")}`;
    },
  },
];

const BAD_CASES: readonly ConformanceCase[] = [
  {
    id: "U4",
    title: "falls back from an image that fails its self-test",
    needs: ["U1"],
    async run({ kit }) {
      const runs = (await kit.running()).firmware.hash;
      const image = kit.image("release 2.0.0", FAILING_MARK);
      const release = kit.platform.release("2.0.0", image);
      const { signed } = kit.platform.assign(DEVICE, release, [kit.full(image)]);
      const state = await finalState(kit, signed.updateId);
      if (state.phase === "succeeded")
        throw new CaseFailure("it kept an image that fails its self-test");
      if (!state.error) throw new CaseFailure(`${state.phase} without a reason`);
      await expectRunning(kit, runs);
      return `${state.phase}: ${state.error.element}`;
    },
  },
  ...REFUSALS.map(
    ([id, title, send]): ConformanceCase => ({
      id,
      title: `refuses ${title}`,
      needs: ["U1"],
      run: ({ kit }) => refused(kit, title, () => send(kit)),
    }),
  ),
  {
    id: "U12",
    title: "installs nothing whose hash is not the signed one",
    needs: ["U1"],
    async run({ kit }) {
      const runs = (await kit.running()).firmware.hash;
      const image = kit.image("release 3.1.0");
      const release = kit.platform.release("3.1.0", image);
      const offer = kit.full(image);
      const other = Buffer.from(image);
      other.writeUInt8((other.readUInt8(100) + 1) % 256, 100);
      kit.platform.replaceArtifact(offer.sha256, other);
      const { signed } = kit.platform.assign(DEVICE, release, [offer], { deadlines: SHORT });
      const state = await finalState(kit, signed.updateId);
      if (state.phase === "succeeded") throw new CaseFailure("an altered artifact was installed");
      // The same with an offer that is honest about itself: its hash is not the release's.
      const lie = kit.full(kit.image("another content"));
      const second = kit.platform.assign(DEVICE, release, [lie], { deadlines: SHORT });
      const end = await finalState(kit, second.signed.updateId);
      if (end.phase === "succeeded")
        throw new CaseFailure("another image than the signed one was installed");
      await expectRunning(kit, runs);
      return `${state.phase}: ${state.error?.element}; ${end.phase}: ${end.error?.element}`;
    },
  },
  {
    id: "U13",
    title: "installs an older version where that is allowed",
    needs: ["U1"],
    async run({ kit }) {
      await install(kit, "1.0.5", { allowDowngrade: true });
      return "1.0.5 runs";
    },
  },
];

const SHORT = {
  offered: 60_000,
  downloading: 60_000,
  installing: 60_000,
  rebooting: 60_000,
  confirming: 60_000,
};

export const UPDATE_CASES: readonly ConformanceCase[] = [...GOOD_CASES, ...BAD_CASES];
