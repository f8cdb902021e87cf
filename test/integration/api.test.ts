import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { startTestApi, type TestApi } from "../support/api.ts";

describe("the operators' API", () => {
  let test: TestApi;
  beforeAll(async () => {
    test = await startTestApi();
  });
  afterAll(() => test.close());

  it("says who the caller is and names the trace", async () => {
    const { status, body, headers } = await test.call("GET", "/auth/whoami");
    expect(status).toBe(200);
    expect(body).toMatchObject({
      actor: { kind: "user", name: "admin@example.com" },
      platformRole: "platform-administrator",
      tenants: [{ id: "acme" }, { id: "globex" }],
    });
    expect(headers["x-trace-id"]).toMatch(/^[0-9a-f]{32}$/);
  });
});
