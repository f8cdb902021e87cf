import { AppError } from "../kernel/index.ts";
import { isDeviceId } from "../protocol/index.ts";

/** What a certificate says of its holder, by which a mapping goes. */
export const MAPPING_FIELDS = ["cn", "ou", "o", "serialNumber", "uri", "dns"] as const;
export type MappingField = (typeof MAPPING_FIELDS)[number];
export type CertificateFields = Readonly<Record<MappingField, readonly string[]>>;

/**
 * From a certificate's fields to a device's id, without regular expressions: `template` puts the id
 * together (`plant7-{serialNumber}`), and `fields` says what a field must look like, where `{}` is
 * the part that the template takes (`{ uri: "urn:acme:hub:{}" }`). A field with a pattern without
 * `{}` must be exactly that, and may stand outside the template.
 */
export interface MappingRule {
  template: string;
  fields?: Partial<Record<MappingField, string>> | undefined;
}

const MAX_LENGTH = 256;
const PLACE = /\{([A-Za-z]*)\}/g;

/** Every field of a rule that is wrong, in one `invalid-content`. */
export function checkMapping(rule: MappingRule): void {
  const errors: { field: string; message: string }[] = [];
  const { template, fields = {} } = rule;
  const names = [...template.matchAll(PLACE)].map((match) => match[1]);
  const literal = template.replaceAll(PLACE, "");
  if (template.length > MAX_LENGTH || !/^[A-Za-z0-9._-]*$/.test(literal)) {
    errors.push({ field: "template", message: "needs letters, digits, . _ - and {field}" });
  }
  if (names.length === 0) errors.push({ field: "template", message: "names no field" });
  for (const name of names) {
    if (isField(name)) continue;
    errors.push({
      field: "template",
      message: `{${name}} is none of ${MAPPING_FIELDS.join(", ")}`,
    });
  }
  for (const [field, pattern] of Object.entries(fields)) {
    const holes = pattern.split("{}").length - 1;
    if (!isField(field)) errors.push({ field, message: "is no field of certificates" });
    else if (pattern.length === 0 || pattern.length > MAX_LENGTH || holes > 1) {
      errors.push({ field, message: "needs 1 to 256 characters with {} once at most" });
    } else if (holes === 0 && names.includes(field)) {
      errors.push({ field, message: "stands in the template and needs {}" });
    }
  }
  if (errors.length > 0)
    throw new AppError("invalid-content", "the mapping is not valid", { errors });
}

/** The device that a certificate's fields name, or why they name none. */
export function mapToDevice(
  rule: MappingRule,
  certificate: CertificateFields,
): { deviceId: string } | { problem: string } {
  const parts = new Map<string, string>();
  const used = new Set([...rule.template.matchAll(PLACE)].map((match) => match[1] ?? ""));
  for (const field of MAPPING_FIELDS) {
    const pattern = rule.fields?.[field];
    if (pattern === undefined && !used.has(field)) continue;
    const [value, ...others] = certificate[field];
    if (value === undefined) return { problem: `the certificate has no ${field}` };
    // Which of them counts would be anybody's guess, an attacker's among them.
    if (others.length > 0) return { problem: `the certificate has more than one ${field}` };
    const part = capture(pattern ?? "{}", value);
    if (part === undefined)
      return { problem: `the certificate's ${field} is not as the rule says` };
    parts.set(field, part);
  }
  const deviceId = rule.template.replaceAll(PLACE, (_, name: string) => parts.get(name) ?? "");
  return isDeviceId(deviceId)
    ? { deviceId }
    : { problem: "what comes of the rule is no device id" };
}

/** What `{}` stands for, empty where the pattern has none; undefined where the text differs. */
function capture(pattern: string, text: string): string | undefined {
  const hole = pattern.indexOf("{}");
  if (hole < 0) return pattern === text ? "" : undefined;
  const before = pattern.slice(0, hole);
  const after = pattern.slice(hole + 2);
  const isLong = text.length > before.length + after.length;
  if (!isLong || !text.startsWith(before) || !text.endsWith(after)) return undefined;
  return text.slice(before.length, text.length - after.length);
}

function isField(name: string | undefined): name is MappingField {
  return MAPPING_FIELDS.some((field) => field === name);
}
