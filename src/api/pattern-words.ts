const MOMENT =
  "^(\\d{1,16}|\\d{4}-\\d\\d-\\d\\d(T\\d\\d:\\d\\d(:\\d\\d(\\.\\d{1,9})?)?(Z|[+-]\\d\\d:\\d\\d))?)$";
const TAG = "tags\\.[A-Za-z0-9_][A-Za-z0-9_.-]{0,63}";

/** What the schemas' patterns ask for, in words that follow "must be"; one that is not here is shown itself. */
export const PATTERNS_IN_WORDS: ReadonlyMap<string, string> = new Map([
  ["^[a-z0-9][a-z0-9-]{0,62}$", "1 to 63 of a-z, 0-9 and -, not beginning with -"],
  ["^[a-z0-9][a-z0-9-]{0,39}$", "1 to 40 of a-z, 0-9 and -, not beginning with -"],
  [
    "^[A-Za-z0-9][A-Za-z0-9._-]{0,127}$",
    "1 to 128 letters, digits, dots, hyphens and underscores, beginning with a letter or digit",
  ],
  [
    "^[A-Za-z][A-Za-z0-9._-]{0,63}$",
    "1 to 64 letters, digits, dots, hyphens and underscores, beginning with a letter",
  ],
  [
    "^[A-Za-z_][A-Za-z0-9_.-]{0,63}$",
    "1 to 64 letters, digits, dots, hyphens and underscores, beginning with a letter or underscore",
  ],
  [
    "^[A-Za-z0-9][A-Za-z0-9 ._-]{0,63}$",
    "1 to 64 letters, digits, spaces, dots, hyphens and underscores, beginning with a letter or digit",
  ],
  ["^[A-Za-z0-9_.-]{1,64}$", "1 to 64 letters, digits, dots, hyphens and underscores"],
  ["^[0-9a-f]{64}$", "64 hexadecimal digits in lower case"],
  ["^[0-9a-f]{32}$", "32 hexadecimal digits in lower case"],
  ["^[0-9a-f]{1,64}$", "1 to 64 hexadecimal digits in lower case"],
  [MOMENT, "a time such as 2027-01-31T12:00:00Z or 2027-01-31, or milliseconds since 1970"],
  ["^([01][0-9]|2[0-3]):[0-5][0-9]$", "a time of day such as 08:30"],
  ["^([01]\\d|2[0-3]):[0-5]\\d$", "a time of day such as 08:30"],
  ["^[^=]{1,128}=.*$", "NAME=VALUE"],
  [
    `^(firmware|hardware|product|region|presence|health|group|${TAG})$`,
    "firmware, hardware, product, region, presence, health, group or tags.NAME",
  ],
  [
    `^(none|device|firmware|hardware|product|region|group|${TAG})$`,
    "none, device, firmware, hardware, product, region, group or tags.NAME",
  ],
  [
    `^(firmware|hardware|product|region|group|${TAG})$`,
    "firmware, hardware, product, region, group or tags.NAME",
  ],
  [
    "^(avg|min|max|sum|count|last|p(\\d{1,2}(\\.\\d{1,3})?|100))$",
    "avg, min, max, sum, count, last or a percentile such as p95",
  ],
  ["^https?://", "an address that begins with https:// or http://"],
]);
