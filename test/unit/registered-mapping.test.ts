import fc from "fast-check";
import { describe, expect, it } from "vitest";
import {
  type CertificateFields,
  checkMapping,
  MAPPING_FIELDS,
  type MappingRule,
  mapToDevice,
} from "../../src/identity/registered-mapping.ts";
import { isAppError } from "../../src/kernel/index.ts";
import { isDeviceId } from "../../src/protocol/index.ts";

const NOTHING: CertificateFields = { cn: [], ou: [], o: [], serialNumber: [], uri: [], dns: [] };
const map = (rule: MappingRule, fields: Partial<CertificateFields>) =>
  mapToDevice(rule, { ...NOTHING, ...fields });

describe("a mapping from certificates to devices", () => {
  it.each([
    [{ template: "{cn}" }, { cn: ["hub-1"] }, "hub-1"],
    [{ template: "plant7-{serialNumber}" }, { serialNumber: ["0042"] }, "plant7-0042"],
    [{ template: "{uri}", fields: { uri: "urn:acme:hub:{}" } }, { uri: ["urn:acme:hub:9"] }, "9"],
    [
      { template: "{ou}.{cn}", fields: { cn: "{}.acme.example" } },
      { ou: ["p1"], cn: ["a.acme.example"] },
      "p1.a",
    ],
    [{ template: "{cn}", fields: { o: "ACME GmbH" } }, { cn: ["x"], o: ["ACME GmbH"] }, "x"],
  ] as [MappingRule, Partial<CertificateFields>, string][])(
    "%j makes of %j the id %s",
    (rule, fields, id) => {
      checkMapping(rule);
      expect(map(rule, fields)).toEqual({ deviceId: id });
    },
  );

  it.each([
    ["no such field", { template: "{cn}" }, {}],
    ["two of a field", { template: "{cn}" }, { cn: ["a", "b"] }],
    ["another prefix", { template: "{uri}", fields: { uri: "urn:acme:{}" } }, { uri: ["urn:x:1"] }],
    [
      "nothing where the id stands",
      { template: "{dns}", fields: { dns: "{}.x" } },
      { dns: [".x"] },
    ],
    ["overlapping ends", { template: "{cn}", fields: { cn: "aa{}a" } }, { cn: ["aaa"] }],
    ["another organisation", { template: "{cn}", fields: { o: "A" } }, { cn: ["x"], o: ["B"] }],
    ["what is no device id", { template: "{cn}" }, { cn: ["a/b"] }],
    ["a wildcard", { template: "{cn}" }, { cn: ["*"] }],
  ] as [string, MappingRule, Partial<CertificateFields>][])(
    "names nobody for %s",
    (_, rule, fields) => {
      expect(map(rule, fields)).toHaveProperty("problem");
    },
  );

  it.each([
    [{ template: "hub" }],
    [{ template: "{nobody}" }],
    [{ template: "a b {cn}" }],
    [{ template: "{cn}", fields: { cn: "{}{}" } }],
    [{ template: "{cn}", fields: { cn: "fixed" } }],
    [{ template: "{cn}", fields: { __proto__x: "{}" } as never }],
    [{ template: `{cn}${"x".repeat(300)}` }],
  ] as [MappingRule][])("is refused as %j", (rule) => {
    expect(() => checkMapping(rule)).toThrow();
  });

  it("of any shape is refused or gives a device's id or a problem, and never anything else", () => {
    const text = fc.string({ maxLength: 20 });
    const pattern = fc.oneof(
      text,
      text.map((one) => `${one}{}`),
      fc.constant("{}"),
    );
    const rule = fc.record({
      template: fc.oneof(
        text,
        fc.constantFrom("{cn}", "x-{cn}", "{ou}{cn}", "{uri}", "{", "{}", "{cn"),
      ),
      fields: fc.dictionary(fc.constantFrom(...MAPPING_FIELDS), pattern),
    });
    const values = fc.array(text, { maxLength: 2 });
    const fields = fc.record({
      cn: values,
      ou: values,
      o: values,
      serialNumber: values,
      uri: values,
      dns: values,
    });
    fc.assert(
      fc.property(rule, fields, (anyRule, certificate) => {
        try {
          checkMapping(anyRule);
        } catch (error) {
          return isAppError(error, "invalid-content");
        }
        const mapped = mapToDevice(anyRule, certificate);
        return "problem" in mapped || isDeviceId(mapped.deviceId);
      }),
      { numRuns: 2_000 },
    );
  });
});
