import { describe, expect, it } from "vitest";
import { ApiRefusal } from "../../src/client/index.ts";

const refusal = (detail: string, ...errors: { path: string; message: string }[]) =>
  new ApiRefusal(422, { code: "invalid-content", detail, errors }).message;

describe("a refusal of the API, for people", () => {
  const fault = { path: "apiRequests", message: "there is no such setting" };

  it("names the one field that is wrong", () => {
    expect(refusal("some settings are not valid", fault)).toBe(
      "some settings are not valid\n  apiRequests: there is no such setting",
    );
  });

  it("does not say it twice", () => {
    const said = { path: "body/name", message: "must be a string" };
    expect(refusal("body/name must be a string", said)).toBe("body/name must be a string");
  });

  it("names every field where there are several", () => {
    const other = { path: "maxDevices", message: "needs a whole number" };
    expect(refusal("some settings are not valid", fault, other).split("\n")).toHaveLength(3);
  });
});
