import { createHash } from "node:crypto";
import { describe, expect, it } from "vitest";
import type { ActiveUpdate } from "../../src/agent/agent-state.ts";
import type { ArtifactServer, StorageFile } from "../../src/agent/ports.ts";
import { downloadOffer } from "../../src/agent/update/download.ts";
import { receivedSoFar, withReceived } from "../../src/agent/update/received-bytes.ts";
import { createSiteSources } from "../../src/agent/update/site-sources.ts";
import { seededRandom } from "../../src/kernel/random.ts";
import { VirtualClock } from "../../src/kernel/virtual-clock.ts";

const image = Buffer.alloc(1_000, 7);
const sha256 = createHash("sha256").update(image).digest("hex");

function memoryFile(): StorageFile {
  let content = Buffer.alloc(0);
  return {
    sizeBytes: async () => content.length,
    read: async (offset: number, length: number) => content.subarray(offset, offset + length),
    async write(offset: number, chunk: Uint8Array) {
      content = Buffer.concat([content.subarray(0, offset), chunk]);
    },
    async truncate(sizeBytes: number) {
      content = content.subarray(0, sizeBytes);
    },
    sync: async () => {},
    close: async () => {},
  } as StorageFile;
}

describe("the bytes of a download", () => {
  it("are counted for who sent them: the cache until it broke off, then the store", async () => {
    const clock = new VirtualClock(0);
    let received = receivedSoFar({
      bytesDownloaded: 0,
      bytesBySource: { platform: 0, store: 0, cache: 0 },
    } as ActiveUpdate);
    async function* brokenOff() {
      yield image.subarray(0, 300);
      throw new Error("the cache has gone");
    }
    async function* rest(from: number) {
      yield image.subarray(from);
    }
    const source = createSiteSources({
      sites: [
        {
          base: "https://cache.example",
          source: { fetch: async () => ({ status: 200, body: brokenOff() }) },
        },
      ],
      platform: {
        fetch: async (_url, offset) => ({ status: 206, body: rest(offset), servedBy: "store" }),
      },
      clock,
      log: () => {},
    });
    const done = downloadOffer({
      offer: { url: "https://platform.example/artifacts/x", sha256, sizeBytes: image.length },
      storage: { open: async () => memoryFile() } as never,
      ...{ source, clock, random: seededRandom(1), signal: new AbortController().signal },
      stagedBytes: 0,
      onStaged: async () => {},
      onRetry: () => {},
      onReceived: (sizeBytes: number, servedBy: ArtifactServer) => {
        received = withReceived(received, sizeBytes, servedBy);
      },
    });
    await clock.advance(60_000);
    await done;
    expect(received).toEqual({
      bytesDownloaded: 1_000,
      bytesBySource: { platform: 0, store: 700, cache: 300 },
    });
  });

  it("are of no known source in an update that an older agent has begun", () => {
    const older = { bytesDownloaded: 10 } as ActiveUpdate;
    expect(withReceived(receivedSoFar(older), 5, "cache")).toEqual({ bytesDownloaded: 15 });
  });
});
