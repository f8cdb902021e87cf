import { describe, expect, it } from "vitest";
import { otlpRequest } from "../../bench/otlp-requests.ts";
import { decodeProto, LOGS_REQUEST } from "../../src/logs/otlp-proto.ts";
import { otlpLogRows, otlpSpanRows } from "../../src/logs/otlp-rows.ts";

const NOW = Date.UTC(2026, 5, 2);
const START = Date.UTC(2026, 5, 1);

describe("records of OTLP", () => {
  const read = (bytes: Buffer) => otlpLogRows("acme", decodeProto(bytes, LOGS_REQUEST), NOW).rows;

  it("come out of protobuf with their time, ids, device and attributes", () => {
    expect(read(otlpRequest(70, 1, START))).toMatchObject([
      {
        ...{ ts: START + 70, deviceId: "device-330", severity: 9, logger: "pump" },
        message: "sensor measured sample in 1190 ms 2170",
        traceId: "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa7",
        attributes: '{"service.name":"agent","vautn.device":"device-330","thread":"main"}',
      },
    ]);
  });

  it("have the same number when they are sent again, alone or with others, and no two have the same", () => {
    const all = read(otlpRequest(0, 500, START)).map(({ seq }) => seq);
    expect(new Set(all).size).toBe(500);
    expect(read(otlpRequest(100, 50, START)).map(({ seq }) => seq)).toEqual(all.slice(100, 150));
    expect(all.every((seq) => Number.isSafeInteger(seq) && seq >= 0)).toBe(true);
  });

  it("of two resources differ in number, and any name of an attribute is kept", () => {
    const attribute = (key: string, value: string) => ({ key, value: { stringValue: value } });
    const request = (host: string) => ({
      resourceLogs: [
        {
          resource: { attributes: [attribute("host", host)] },
          scopeLogs: [
            {
              logRecords: [
                { body: { stringValue: "x" }, attributes: [attribute("__proto__", "a\0b")] },
              ],
            },
          ],
        },
      ],
    });
    const [one, other] = ["a", "b"].map((host) => otlpLogRows("acme", request(host), NOW).rows[0]);
    expect(one?.seq).not.toBe(other?.seq);
    expect(one?.attributes).toBe('{"host":"a","__proto__":"a\uFFFDb"}');
  });

  it("get the attributes of their resource only as far as the request stays of a bearable size", () => {
    const body = (records: number) => ({
      resourceLogs: [
        {
          resource: { attributes: [{ key: "k", value: { stringValue: "v".repeat(1_000_000) } }] },
          scopeLogs: [{ logRecords: Array.from({ length: records }, () => ({})) }],
        },
      ],
    });
    const { rows, rejected, reason } = otlpLogRows("acme", body(10_000), NOW);
    expect([rows.length, rejected]).toEqual([33, 9_967]);
    expect(reason).toMatch(/attributes of its resource.*send fewer records/);
    expect(otlpLogRows("acme", body(33), NOW)).toMatchObject({ rejected: 0, reason: "" });
  });

  it("of any JSON are read or refused, whatever stands where a text or a number should", () => {
    const odd = { toString: 1, valueOf: 1 };
    const record = {
      ...{ attributes: [{ key: odd, value: { intValue: odd } }], severityNumber: odd },
      ...{ severityText: odd, body: { kvlistValue: { values: [{ key: odd }] } }, eventName: odd },
    };
    const name = { key: "service.name", value: { kvlistValue: { values: [{ key: "toString" }] } } };
    const scope = { scope: { name: odd }, logRecords: [record], spans: [{ name: odd }] };
    const resource = { attributes: [name, { key: odd }] };
    const logs = { resourceLogs: [{ resource, scopeLogs: [scope] }] };
    expect(otlpLogRows("acme", logs, NOW).rows).toMatchObject([
      { logger: "", message: '{"":null}' },
    ]);
    const ids = {
      traceId: "a".repeat(32),
      spanId: "b".repeat(16),
      status: { code: odd, message: odd },
    };
    const span = { ...ids, name: odd, startTimeUnixNano: "1000", endTimeUnixNano: "2000" };
    const spans = { resourceSpans: [{ resource, scopeSpans: [{ spans: [span] }] }] };
    expect(otlpSpanRows("acme", spans).rows).toMatchObject([{ name: "", service: "unknown" }]);
  });

  it("that end within a number, a length or a text are refused", () => {
    const whole = otlpRequest(0, 1, START);
    for (let length = 1; length < whole.length; length += 1) {
      expect(() => decodeProto(whole.subarray(0, length), LOGS_REQUEST)).toThrow(/no OTLP message/);
    }
    expect(() => decodeProto(Buffer.alloc(12, 0xff), LOGS_REQUEST)).toThrow(/no OTLP message/);
  });
});
