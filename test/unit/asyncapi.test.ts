import fs from "node:fs";
import path from "node:path";
import { describe, expect, it } from "vitest";
import { parse } from "yaml";
import { DEVICE_PUBLISHES, PLATFORM_PUBLISHES } from "../../src/protocol/index.ts";
import { addressOf, asyncApiText } from "../../tools/asyncapi-document.ts";

const committed = fs.readFileSync(path.resolve(import.meta.dirname, "../../asyncapi.yaml"), "utf8");

describe("asyncapi.yaml", () => {
  it("is what the protocol says", () => {
    expect(asyncApiText()).toBe(committed);
  });

  it("names every topic, in its direction", () => {
    const { channels, operations } = parse(committed);
    const direction = (action: string) =>
      Object.values<{ action: string; channel: { $ref: string } }>(operations)
        .filter((operation) => operation.action === action)
        .map(({ channel }) => channels[channel.$ref.split("/").at(-1) as string].address);
    expect(direction("receive").sort()).toEqual(DEVICE_PUBLISHES.map(addressOf).sort());
    expect(direction("send").sort()).toEqual(PLATFORM_PUBLISHES.map(addressOf).sort());
  });
});
