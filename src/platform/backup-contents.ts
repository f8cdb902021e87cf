import path from "node:path";
import { type Static, Type } from "typebox";
import { Value } from "typebox/value";
import { AppError } from "../kernel/index.ts";

const Mode = Type.Integer({ minimum: 0, maximum: 0o777 });
const Size = Type.Integer({ minimum: 0, maximum: Number.MAX_SAFE_INTEGER });
const Name = Type.String({ minLength: 1 });

const Contents = Type.Object({
  format: Type.Literal("vautn-backup-1"),
  createdAt: Type.String(),
  version: Type.String(),
  hasKey: Type.Boolean(),
  keyFingerprint: Type.Union([Type.String(), Type.Null()]),
  sizeBytes: Size,
  folders: Type.Array(Type.Object({ path: Name, mode: Mode })),
  links: Type.Array(Type.Object({ path: Name, target: Type.String() })),
  files: Type.Array(
    Type.Object({ path: Name, mode: Mode, sizeBytes: Size, sha256: Type.String() }),
  ),
});
type Contents = Static<typeof Contents>;
type Link = Contents["links"][number];

/**
 * What `file`, of a backup that may come from anywhere, says: every name in it leads to a place within.
 * @throws AppError `invalid-content`
 */
export function parseContents(text: string, file: string): Contents {
  let contents: unknown;
  try {
    contents = JSON.parse(text);
  } catch (cause) {
    throw new AppError("invalid-content", `${file} is damaged`, {}, { cause });
  }
  const { format } = (contents ?? {}) as { format?: unknown };
  if (format !== "vautn-backup-1") {
    throw new AppError("invalid-content", `${file} is of a format that this version does not know`);
  }
  if (!Value.Check(Contents, contents)) {
    throw new AppError("invalid-content", `${file} is damaged`);
  }
  const links = new Set(contents.links.map((link) => link.path));
  const names = [...contents.folders, ...contents.links, ...contents.files].map((one) => one.path);
  const isOutside = (name: string) => leadsOutside(name) || leadsThrough(name, links);
  if (names.some(isOutside) || contents.links.some(isLinkOutside)) {
    throw new AppError("invalid-content", `${file} names a place outside of the backup`);
  }
  return contents;
}

/** A restore would refuse such a link, and a backup would lack what lies behind it. */
export function refuseLinkOutside(directory: string, links: readonly Link[]): void {
  const link = links.find(isLinkOutside);
  if (!link) return;
  throw new AppError(
    "conflict",
    `${path.join(directory, link.path)} leads out of the data folder, to ${link.target}, and what lies there ` +
      "would be missing: mount it there instead",
  );
}

/** Names are written as a walk through the folder finds them. */
function leadsOutside(name: string): boolean {
  const isPlain = path.posix.normalize(name) === name && name !== "." && !name.endsWith("/");
  return !isPlain || path.posix.isAbsolute(name) || name === ".." || name.startsWith("../");
}

/** A link is the end of a name: what it leads to, through others, is not to be foreseen. */
function leadsThrough(name: string, links: ReadonlySet<string>): boolean {
  for (let at = name.indexOf("/"); at !== -1; at = name.indexOf("/", at + 1)) {
    if (links.has(name.slice(0, at))) return true;
  }
  return false;
}

function isLinkOutside({ path: name, target }: Link): boolean {
  const place = path.posix.join(name, "..", target);
  return path.posix.isAbsolute(target) || place === ".." || place.startsWith("../");
}
