import { AppError, LIMITS } from "../kernel/index.ts";
import { isTextLike } from "../protocol/index.ts";

export interface SbomComponent {
  name: string;
  version: string | null;
  license: string | null;
  purl: string | null;
}

/** A bill of materials as people look at it. */
export interface SbomSummary {
  format: "cyclonedx" | "spdx";
  specVersion: string;
  componentCount: number;
  /** The first of them, in the document's order. */
  components: SbomComponent[];
}

const MAX_COMPONENTS = 100_000;
const MAX_NESTING = 16;
const MAX_SHOWN = 500;
const MAX_TEXT = 256;

/** A bill of materials with everything that it lists. */
export interface Sbom {
  format: SbomSummary["format"];
  specVersion: string;
  components: SbomComponent[];
}

export function summariseSbom({ format, specVersion, components }: Sbom): SbomSummary {
  const shown = components.slice(0, MAX_SHOWN);
  return { format, specVersion, componentCount: components.length, components: shown };
}

/** CycloneDX 1.x or SPDX 2.x in JSON; `invalid-content` says what is wrong with anything else. */
export function readSbom(content: Buffer): Sbom {
  if (content.length > LIMITS.releaseDocumentBytes) throw refuse("it is too large");
  const document = parse(content);
  if (document.bomFormat === "CycloneDX") return cycloneDx(document);
  if (typeof document.spdxVersion === "string") return spdx(document);
  throw refuse("it is neither CycloneDX (bomFormat) nor SPDX (spdxVersion) in JSON");
}

/** CycloneDX 1.2 to 1.7: `bomFormat`, `specVersion`, components with type and name. */
function cycloneDx(document: Json): Sbom {
  const { specVersion, components = [], serialNumber } = document;
  if (typeof specVersion !== "string" || !/^1\.[2-9]$/.test(specVersion)) {
    throw refuse("its specVersion is none from 1.2 on");
  }
  if (serialNumber !== undefined && !isTextLike(serialNumber, /^urn:uuid:[0-9a-f-]{36}$/i)) {
    throw refuse("its serialNumber is no urn:uuid");
  }
  const list = withNested(asList(components, "components"));
  for (const [index, component] of list.entries()) {
    if (!isText(component.name) || !isText(component.type)) {
      throw refuse(`component ${index} lacks a name or a type`);
    }
  }
  const listed = list.map((component) => ({
    name: textOf(component.name) ?? "",
    version: textOf(component.version),
    license: licensesOf(component.licenses),
    purl: textOf(component.purl),
  }));
  return { format: "cyclonedx", specVersion, components: listed };
}

/** SPDX 2.2 and 2.3 (§6, §7): document and packages with their obligatory members. */
function spdx(document: Json): Sbom {
  const { spdxVersion, packages = [] } = document;
  if (!isTextLike(spdxVersion, /^SPDX-2\.[0-9]$/)) throw refuse("its spdxVersion is not 2.x");
  if (document.SPDXID !== "SPDXRef-DOCUMENT") throw refuse("its SPDXID is not SPDXRef-DOCUMENT");
  for (const member of ["name", "documentNamespace", "dataLicense"]) {
    if (!isText(document[member])) throw refuse(`it lacks ${member}`);
  }
  const list = asList(packages, "packages");
  for (const [index, each] of list.entries()) {
    if (!isText(each.name) || !isTextLike(each.SPDXID, /^SPDXRef-[A-Za-z0-9.+-]+$/)) {
      throw refuse(`package ${index} lacks a name or an SPDXID`);
    }
  }
  const listed = list.map((each) => ({
    name: textOf(each.name) ?? "",
    version: textOf(each.versionInfo),
    license: textOf(each.licenseConcluded) ?? textOf(each.licenseDeclared),
    purl: purlOf(each.externalRefs),
  }));
  return { format: "spdx", specVersion: String(spdxVersion), components: listed };
}

type Json = Record<string, unknown>;

/** What is built into a component lies below it (CycloneDX 1.2+, `components` of a component). */
function withNested(list: Json[], depth = 0): Json[] {
  if (depth > MAX_NESTING) throw refuse(`its components lie more than ${MAX_NESTING} deep`);
  const all = list.flatMap((component) => {
    const { components } = component;
    if (components === undefined) return [component];
    return [component, ...withNested(asList(components, "components"), depth + 1)];
  });
  return asList(all, "components");
}

function licensesOf(value: unknown): string | null {
  if (!Array.isArray(value)) return null;
  const names = value
    .slice(0, 16)
    .map(
      (each: { license?: Json; expression?: unknown } | null) =>
        textOf(each?.expression) ?? textOf(each?.license?.id) ?? textOf(each?.license?.name),
    );
  return textOf(names.filter((name) => name !== null).join(", "));
}

function purlOf(value: unknown): string | null {
  if (!Array.isArray(value)) return null;
  const found = value.slice(0, 64).find((each) => (each as Json | null)?.referenceType === "purl");
  return textOf((found as Json | undefined)?.referenceLocator);
}

function asList(value: unknown, what: string): Json[] {
  if (!Array.isArray(value) || value.length > MAX_COMPONENTS) {
    throw refuse(`its ${what} are no list of at most ${MAX_COMPONENTS}`);
  }
  if (!value.every((each) => typeof each === "object" && each !== null)) {
    throw refuse(`its ${what} hold something else`);
  }
  return value as Json[];
}

function parse(content: Buffer): Json {
  let value: unknown;
  try {
    value = JSON.parse(content.toString("utf8"));
  } catch (cause) {
    throw refuse("it is not JSON", cause);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw refuse("it is no JSON object");
  }
  return value as Json;
}

function isText(value: unknown): value is string {
  return typeof value === "string" && value.length > 0;
}

/** A text for people: short, in one line; what says nothing is null. */
function textOf(value: unknown): string | null {
  if (!isText(value) || value === "NOASSERTION") return null;
  return value
    .toWellFormed()
    .replace(/\p{C}+/gu, " ")
    .slice(0, MAX_TEXT)
    .toWellFormed();
}

function refuse(message: string, cause?: unknown): AppError {
  return new AppError("invalid-content", `the bill of materials: ${message}`, {}, { cause });
}
