import { randomBytes } from "node:crypto";
import { describe, expect, it } from "vitest";
import { createSealedFrames } from "../../src/bus/sealed-frames.ts";

const KEY = randomBytes(32);
const ALERT = { subject: "alert.acme", message: { alertId: "a-1", state: "open" } };

function pair() {
  const clock = { now: 1_700_000_000_000 };
  const now = () => clock.now;
  return { clock, from: createSealedFrames(KEY, now), to: createSealedFrames(KEY, now) };
}

describe("messages between machines", () => {
  it("arrive as they were sent, and tell the broker nothing", () => {
    const { from, to } = pair();
    const frame = from.seal(ALERT.subject, ALERT.message);
    expect(frame.includes("acme")).toBe(false);
    expect(to.open(frame)).toEqual(ALERT);
  });

  it("are refused when they come again or out of order", () => {
    const { from, to } = pair();
    const [first, second] = [from.seal("a", {}), from.seal("b", {})];
    expect(to.open(second)?.subject).toBe("b");
    expect(to.open(second)).toBeUndefined();
    expect(to.open(first)).toBeUndefined();
    expect(to.open(from.seal("c", {}))?.subject).toBe("c");
  });

  it("are refused when they are older than clocks may differ, by a receiver that knows their sender or not", () => {
    const { clock, from, to } = pair();
    const kept = [from.seal("a", {}), from.seal("b", {})];
    to.open(kept[0] as Buffer);
    clock.now += 300_001;
    expect(to.open(kept[1] as Buffer)).toBeUndefined();
    expect(createSealedFrames(KEY, () => clock.now).open(kept[1] as Buffer)).toBeUndefined();
  });

  it("of another time are told of where they are of this installation, and of no other", () => {
    const { clock, from } = pair();
    const ages: number[] = [];
    const to = createSealedFrames(
      KEY,
      () => clock.now,
      (ms) => ages.push(ms),
    );
    const frames = [from.seal("a", {}), createSealedFrames(randomBytes(32), () => 0).seal("b", {})];
    clock.now += 400_000;
    for (const frame of frames) expect(to.open(frame)).toBeUndefined();
    clock.now -= 800_000;
    expect(to.open(from.seal("now", {}))?.subject).toBe("now");
    expect(to.open(frames[1] as Buffer)).toBeUndefined();
    expect(ages).toEqual([400_000]);
  });

  it("are refused of another installation, and back at their sender", () => {
    const { from } = pair();
    const frame = from.seal(ALERT.subject, ALERT.message);
    expect(createSealedFrames(randomBytes(32), Date.now).open(frame)).toBeUndefined();
    expect(from.open(frame)).toBeUndefined();
  });

  it("are refused whichever bit of them is changed, and whatever is cut off", () => {
    const { from } = pair();
    const frame = from.seal("a", { text: "x" });
    for (let bit = 0; bit < frame.length * 8; bit += 1) {
      const changed = Buffer.from(frame);
      changed[bit >> 3] = (changed[bit >> 3] as number) ^ (1 << (bit & 7));
      const { to } = pair();
      expect(to.open(changed)).toBeUndefined();
    }
    for (let length = 0; length < frame.length; length += 1) {
      expect(pair().to.open(frame.subarray(0, length))).toBeUndefined();
    }
  });

  it("of a thousand other senders do not make a receiver forget one that goes on", () => {
    const { from, to } = pair();
    const frame = from.seal("a", {});
    to.open(frame);
    for (let index = 0; index < 1_500; index += 1) {
      to.open(createSealedFrames(KEY, () => 1_700_000_000_000).seal("x", {}));
      if (index % 500 === 0) to.open(from.seal("a", {}));
    }
    expect(to.open(frame)).toBeUndefined();
  });
});
