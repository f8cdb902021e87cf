import { spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { afterEach, beforeEach, describe, expect, it } from "vitest";
import { McubootComponent } from "../../src/agent/components/mcuboot-component.ts";
import { serialLine, tcpLine } from "../../src/agent/components/smp/lines.ts";
import { mcubootHash } from "../../src/agent/components/smp/mcuboot-image.ts";
import { crc16, encodeFrames, FrameReader } from "../../src/agent/components/smp/serial-frames.ts";
import type { SmpLine } from "../../src/agent/components/smp/smp-client.ts";
import { seededRandom, systemClock } from "../../src/kernel/index.ts";
import { PagePool, SimulatedFlash, sha256Of } from "../../src/simulator/index.ts";
import { mcubootImage, SmpServer } from "../support/smp-server.ts";

const OLD = mcubootImage(randomBytes(5_000));
const NEW = mcubootImage(randomBytes(6_001), Buffer.from("0869080000000000", "hex"));
const SIGNAL = new AbortController().signal;

let server: SmpServer;
let port: number;
beforeEach(async () => {
  server = new SmpServer(OLD);
  port = await server.listen();
});
afterEach(() => server.close());

function content(bytes: Buffer) {
  return {
    ...{ sha256: sha256Of(bytes), sizeBytes: bytes.length, version: "1.1.0" },
    read: async (offset: number, length: number) => bytes.subarray(offset, offset + length),
  };
}

function component(open: () => Promise<SmpLine> = () => tcpLine("127.0.0.1", port)) {
  const storage = new SimulatedFlash(new PagePool(), seededRandom(1)).mount();
  const times = { restartMs: 3_000, chunkBytes: 256 };
  return new McubootComponent({ name: "radio", storage, clock: systemClock, open, ...times });
}

describe("frames on a serial line", () => {
  it("carry packets of any size, between whatever else is written", () => {
    const packets: Buffer[] = [];
    const reader = new FrameReader((packet) => packets.push(packet));
    const sent = [0, 1, 90, 91, 92, 93, 500, 5_000].map((size) => randomBytes(size));
    for (const packet of sent) {
      const bytes = Buffer.concat([Buffer.from("noise\r\n"), encodeFrames(packet)]);
      for (let at = 0; at < bytes.length; at += 37) reader.push(bytes.subarray(at, at + 37));
    }
    expect(packets.map((packet) => packet.toString("hex"))).toEqual(
      sent.map((packet) => packet.toString("hex")),
    );
  });

  it("have the check value of CRC-16/XMODEM, lines of 127 bytes, and pass nothing altered on", () => {
    expect(crc16(Buffer.from("123456789"))).toBe(0x31c3);
    const frames = encodeFrames(randomBytes(300));
    for (const line of frames.toString("latin1").split("\n")) {
      expect(line.length + 1).toBeLessThanOrEqual(127);
    }
    const packets: Buffer[] = [];
    const altered = Buffer.from(frames);
    altered[20] = altered[20] === 0x41 ? 0x42 : 0x41;
    new FrameReader((packet) => packets.push(packet)).push(altered);
    expect(packets).toEqual([]);
  });
});

describe("an image for MCUboot", () => {
  it("is known by the hash in its trailer, and a file that is none by nothing", () => {
    expect(mcubootHash(OLD)).toHaveLength(32);
    for (const bytes of [Buffer.alloc(0), randomBytes(100), OLD.subarray(0, 5_000)]) {
      expect(mcubootHash(bytes)).toBeUndefined();
    }
  });
});

describe("a microcontroller with MCUboot", () => {
  it("takes an image on trial, and keeps it once it is confirmed", async () => {
    const radio = component();
    const next = content(NEW);
    expect(await radio.installed()).toBeNull();
    await radio.stage(next, SIGNAL);
    await radio.activate(next.sha256, SIGNAL);
    expect(server.running.equals(NEW)).toBe(true);
    expect(server.isConfirmed).toBe(false);
    expect(await radio.installed()).toBe(next.sha256);
    await radio.confirm();
    await radio.confirm();
    server.restart();
    expect(server.running.equals(NEW)).toBe(true);
    expect(await radio.installed()).toBe(next.sha256);
  });

  it("goes back to the old image where the trial is given up, or the power goes", async () => {
    const radio = component();
    const next = content(NEW);
    await radio.stage(next, SIGNAL);
    await radio.activate(next.sha256, SIGNAL);
    await radio.revert();
    await radio.revert();
    expect(server.running.equals(OLD)).toBe(true);
    server.restart();
    expect(server.running.equals(OLD)).toBe(true);
  });

  it("goes on with an upload that was cut off, though answers get lost", async () => {
    const radio = component(async () => {
      const line = await tcpLine("127.0.0.1", port);
      let writes = 0;
      return {
        ...line,
        async write(bytes) {
          writes += 1;
          if (writes > 10) throw new Error("the line is cut");
          await line.write(bytes);
        },
      };
    });
    await expect(radio.stage(content(NEW), SIGNAL)).rejects.toThrow("the line is cut");
    const before = server.uploads.length;
    expect(before).toBeGreaterThan(0);
    await component().stage(content(NEW), SIGNAL);
    // No chunk came twice.
    expect(server.uploads).toEqual([...new Set(server.uploads)]);
  });

  it("says so where MCUboot does not take the image", async () => {
    server.refusesImage = true;
    const radio = component();
    await radio.stage(content(NEW), SIGNAL);
    await expect(radio.activate(content(NEW).sha256, SIGNAL)).rejects.toThrow("runs after");
    await radio.revert();
    expect(server.running.equals(OLD)).toBe(true);
  });

  it("is not sent what is no image for it", async () => {
    const radio = component();
    await expect(radio.stage(content(randomBytes(500)), SIGNAL)).rejects.toThrow("no image");
    expect(server.uploads).toEqual([]);
  });
});

const hasSocat = fs.existsSync("/usr/bin/socat");
it.skipIf(!hasSocat)("is reached over a serial device (skipped without socat)", async () => {
  const folder = fs.mkdtempSync(path.join(os.tmpdir(), "vautn-serial-"));
  const device = path.join(folder, "tty");
  const socat = spawn("socat", [`pty,raw,echo=0,link=${device}`, `tcp:127.0.0.1:${port}`]);
  try {
    while (!fs.existsSync(device)) await new Promise((resolve) => setTimeout(resolve, 20));
    const line = await serialLine(device, 115_200);
    // One line for the whole test: socat ends when its device is closed.
    const radio = component(async () => ({ ...line, close: async () => {} }));
    const next = content(NEW);
    await radio.stage(next, SIGNAL);
    await radio.activate(next.sha256, SIGNAL);
    expect(server.running.equals(NEW)).toBe(true);
    socat.kill();
    await line.close().catch(() => {});
  } finally {
    socat.kill();
    fs.rmSync(folder, { recursive: true });
  }
});
