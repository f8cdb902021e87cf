import type { ConformanceCase } from "./case.ts";
import { CaseFailure, DEVICE, type Kit, pause } from "./kit.ts";
import { endOf, sendCommand } from "./life-cases.ts";

const SILENCE_MS = 1_000;

/** Orders a rotation and waits for its end; returns the serial numbers before and after. */
async function rotate(kit: Kit): Promise<{ before: string; after: string }> {
  const before = kit.connects().at(-1)?.serial ?? "";
  const known = kit.authority.confirmed(DEVICE);
  const id = sendCommand(kit, "rotate-certificate");
  const confirmed = () => {
    const serial = kit.authority.confirmed(DEVICE);
    return serial !== undefined && serial !== known && serial !== before ? serial : undefined;
  };
  const after = await kit.until(
    "no new certificate was confirmed",
    () => {
      const refused = kit
        .published(`commands/${id}/result`)
        .find(({ status }) => status === "rejected");
      if (refused) throw new CaseFailure(`rotate-certificate was rejected: ${refused.error}`);
      return confirmed();
    },
    2 * kit.patienceMs,
  );
  await endOf(kit, id);
  return { before, after };
}

export const ROTATION_CASES: readonly ConformanceCase[] = [
  {
    id: "R1",
    title: "has a new key certified, connects with it and confirms it",
    needs: ["C1"],
    async run({ kit }) {
      const { before, after } = await rotate(kit);
      const issued = kit.authority.issuedTo(DEVICE);
      const keyOf = (serial: string) => issued.find((one) => one.serial === serial)?.key;
      if (keyOf(before) === keyOf(after))
        throw new CaseFailure("the new certificate has the old key");
      return `${before} -> ${after}`;
    },
  },
  {
    id: "R3",
    title: "does not use the older certificate any more",
    needs: ["R1"],
    async run({ kit }) {
      const serial = kit.authority.confirmed(DEVICE);
      const from = Date.now();
      kit.front.drop();
      await kit.until(
        "it did not come back",
        () => kit.connects(from).length > 0,
        2 * kit.patienceMs,
      );
      await pause(SILENCE_MS);
      const others = kit.connects(from).filter((one) => one.serial !== serial);
      if (others.length > 0)
        throw new CaseFailure(`it came with ${others[0]?.serial}, not ${serial}`);
      return `it came back with ${serial}`;
    },
  },
  {
    id: "R2",
    title: "survives that the answer is lost",
    needs: ["R1"],
    async run({ kit }) {
      kit.https.faults.loseRenewal = true;
      const { after } = await rotate(kit);
      return `confirmed ${after}`;
    },
  },
];
