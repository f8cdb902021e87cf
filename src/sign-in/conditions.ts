import { AppError } from "../kernel/index.ts";

/** The claim has this value; `*` in it stands for any text. */
export interface Condition {
  claim: string;
  value: string;
}

const MAX_CONDITIONS = 20;
const MIN_LITERAL = 2;

/** Issuers whose tokens anybody gets, and the claims that say whose they are. */
const SHARED: readonly { issuer: string; claims: readonly string[] }[] = [
  {
    issuer: "https://token.actions.githubusercontent.com",
    claims: ["sub", "repository", "repository_id", "repository_owner", "repository_owner_id"],
  },
  {
    issuer: "https://gitlab.com",
    claims: ["sub", "project_path", "project_id", "namespace_path", "namespace_id"],
  },
];

/** `invalid-content` where the conditions would let in anybody whom the issuer knows. */
export function checkConditions(issuer: string, conditions: readonly Condition[]): void {
  const refuse = (message: string) =>
    new AppError("invalid-content", `the conditions do not hold anybody back: ${message}`, {
      errors: [{ field: "conditions", message }],
    });
  if (conditions.length === 0 || conditions.length > MAX_CONDITIONS) {
    throw refuse(`needs 1 to ${MAX_CONDITIONS}`);
  }
  const isOpen = ({ claim, value }: Condition) =>
    claim === "" || value.replaceAll("*", "").length < MIN_LITERAL;
  const open = conditions.find(isOpen);
  if (open) throw refuse(`${open.claim || "a claim"} needs a value that is more than "*"`);
  const shared = SHARED.find((one) => one.issuer === issuer);
  if (!shared) return;
  const names = conditions.some(
    ({ claim, value }) => shared.claims.includes(claim) && !value.startsWith("*"),
  );
  if (!names) throw refuse(`${issuer} serves everybody: name one of ${shared.claims.join(", ")}`);
}

/** The first condition that does not hold, or undefined where all do. */
export function unmetCondition(
  claims: Readonly<Record<string, unknown>>,
  conditions: readonly Condition[],
): Condition | undefined {
  return conditions.find(({ claim, value }) => {
    const found = Object.hasOwn(claims, claim) ? claims[claim] : undefined;
    const isScalar = ["string", "number", "boolean"].includes(typeof found);
    return !isScalar || !fits(String(found), value);
  });
}

/** By steps from left to right, in time that grows with the text alone. */
function fits(text: string, pattern: string): boolean {
  const parts = pattern.split("*");
  const first = parts[0] as string;
  if (parts.length === 1) return text === first;
  const last = parts.at(-1) as string;
  if (!text.startsWith(first) || !text.endsWith(last)) return false;
  if (text.length < first.length + last.length) return false;
  let at = first.length;
  const end = text.length - last.length;
  for (const part of parts.slice(1, -1)) {
    const found = text.indexOf(part, at);
    if (found < 0 || found + part.length > end) return false;
    at = found + part.length;
  }
  return at <= end;
}
