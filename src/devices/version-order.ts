import semver from "semver";

/** Above every digit, letter and hyphen: a release comes after its own pre-releases. */
const RELEASE = "~";
const PRERELEASE = "-";
/** Below every character of an identifier: of two lists that agree, the shorter comes first. */
const END_OF_IDENTIFIER = "!";

/**
 * A text that sorts, byte by byte, as semantic versions do (SemVer 2.0.0 §11), or null for what is
 * no semantic version. Kept in `device_states.firmware_version_key`, so that `firmware.version <
 * "2.10.0"` is a plain comparison in the database. Build metadata plays no part in the order.
 */
export function versionSortKey(version: string): string | null {
  const parsed = semver.parse(version);
  if (!parsed) return null;
  const core = [parsed.major, parsed.minor, parsed.patch].map((part) => numeric(String(part)));
  const prerelease = parsed.prerelease.map((identifier) => {
    const text = String(identifier);
    // SemVer 2.0.0 §11.4.3: numeric identifiers come before alphanumeric ones.
    return (/^\d+$/.test(text) ? `0${numeric(text)}` : `1${text}`) + END_OF_IDENTIFIER;
  });
  return core.join("") + (prerelease.length === 0 ? RELEASE : PRERELEASE + prerelease.join(""));
}

/** Numbers without leading zeros sort by their length, then by their digits. */
function numeric(digits: string): string {
  return String(digits.length).padStart(3, "0") + digits;
}
