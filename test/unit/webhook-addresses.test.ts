import { describe, expect, it } from "vitest";
import { isPublicAddress, outcomeOf, parseWebhookUrl } from "../../src/alerts/index.ts";
import { readConfig } from "../../src/kernel/config.ts";
import { resolveGuarded } from "../../src/kernel/guarded-request.ts";
import { addressesOf, networkOf } from "../../src/kernel/public-address.ts";

describe("addresses that webhooks may reach", () => {
  it.each(["1.1.1.1", "93.184.216.34", "2606:4700::1111", "2a00:1450:4001:80e::200e"])(
    "takes %s",
    (address) => {
      expect(isPublicAddress(address)).toBe(true);
    },
  );

  it.each([
    "127.0.0.1",
    "127.255.0.9",
    "0.0.0.0",
    "10.1.2.3",
    "172.16.0.1",
    "172.31.255.255",
    "192.168.1.1",
    "100.64.0.1",
    "169.254.169.254",
    "224.0.0.1",
    "255.255.255.255",
    "::1",
    "::",
    "::ffff:127.0.0.1",
    "::ffff:93.184.216.34",
    "::ffff:7f00:1",
    "64:ff9b::7f00:1",
    "fe80::1",
    "fe80::1%eth0",
    "fd00:ec2::254",
    "fc00::1",
    "2002:7f00:1::",
    "2001:0:4136:e378::",
    "ff02::1",
    "not an address",
    "",
  ])("refuses %s", (address) => {
    expect(isPublicAddress(address)).toBe(false);
  });
});

describe("a webhook's URL", () => {
  it.each([
    "ftp://example.com/",
    "file:///etc/passwd",
    "javascript:alert(1)",
    "nonsense",
    "https://user:password@example.com/",
    "http://127.0.0.1/",
    "http://2130706433/",
    "http://localhost:8080/",
    "http://LOCALHOST./",
    "http://metadata.localhost/",
    "http://0x7f.1/",
    "http://[::1]:8080/",
    "http://[::ffff:169.254.169.254]/latest/meta-data",
    `https://example.com/${"a".repeat(3_000)}`,
  ])("is refused: %s", (url) => {
    expect(() => parseWebhookUrl(url, false)).toThrow(/webhook/);
  });

  it("may lead inside where the installation permits it", () => {
    expect(parseWebhookUrl("http://127.0.0.1:9000/hook", true).port).toBe("9000");
    expect(parseWebhookUrl("https://example.com/hook", false).host).toBe("example.com");
  });

  it("may lead to the networks that the installation names, and to no other of its own", async () => {
    const networks = addressesOf(["10.1.0.0/16", "192.168.7.5", "fd00:1::/32"]);
    const allowed = ["10.1.255.1", "192.168.7.5", "[fd00:1::9]"];
    for (const host of allowed) {
      expect(parseWebhookUrl(`http://${host}/hook`, networks).hostname).toBe(host);
    }
    for (const host of ["10.2.0.1", "192.168.7.6", "127.0.0.1", "169.254.169.254", "[fd00:2::9]"]) {
      expect(() => parseWebhookUrl(`http://${host}/hook`, networks)).toThrow(
        /VAUTN_PRIVATE_RECEIVERS/,
      );
    }
    const leading = (...addresses: string[]) =>
      resolveGuarded("siem.corp.example", {
        allowPrivateAddresses: networks,
        resolve: async () => addresses.map((address) => ({ address, family: 4 })),
      });
    expect(await leading("10.1.2.3")).toMatchObject({ address: "10.1.2.3" });
    await expect(leading("10.1.2.3", "127.0.0.1")).rejects.toThrow(/VAUTN_PRIVATE_RECEIVERS/);
  });

  it.each([
    ...["10.0.0.0/33", "10.1", "example.com", "10.0.0.0/8/8", "::/129", "10.0.0.0/-1"],
    ...["::ffff:0:0/96", "::ffff:10.1.0.0/112"],
  ])("is permitted by no such network as %s", (network) => {
    expect(networkOf(network)).toBeUndefined();
    expect(() => readConfig({ VAUTN_PRIVATE_RECEIVERS: network })).toThrow(/is no network/);
  });

  it.each(["0.0.0.0/0", "::/0", "128.0.0.0/1", "10.1.0.0/16,fc00::/7"])(
    "is not permitted by what holds this machine and its cloud as well: %s",
    (networks) => {
      expect(() => readConfig({ VAUTN_PRIVATE_RECEIVERS: networks })).toThrow(/is too wide/);
    },
  );
});

describe("the schedule of deliveries", () => {
  it("waits longer after each failure, at most six hours, and gives up after twelve", () => {
    const delays = Array.from({ length: 12 }, (_, index) => {
      const outcome = outcomeOf(index + 1, 500, "the receiver answered 500", 0);
      return outcome.nextAttemptAt?.getTime() ?? outcome.status;
    });
    expect(delays.slice(0, 4)).toEqual([5_000, 20_000, 80_000, 320_000]);
    expect(Math.max(...(delays.slice(0, 11) as number[]))).toBe(6 * 3_600_000);
    expect(delays[11]).toBe("failed");
  });

  it("ends with success, and with a receiver that is gone", () => {
    expect(outcomeOf(1, 204, null, 0).status).toBe("delivered");
    expect(outcomeOf(1, 410, "the receiver answered 410", 0).status).toBe("failed");
  });
});
