/** How long a list may be used (`nextUpdate`), and when it is replaced though nothing has changed. */
export const LIST_LIFETIME_MS = 24 * 3_600_000;
const RENEW_BEFORE_MS = LIST_LIFETIME_MS / 2;
/** A full list of more entries is followed by delta lists. */
export const DELTA_FROM_ENTRIES = 10_000;
/** And is made anew this long after the last one, however much has changed. */
const LARGE_FULL_INTERVAL_MS = 10 * 60_000;

/** A list that was published. */
export interface ListState {
  entries: number;
  content_sha256: string;
  this_update: Date;
  next_update: Date;
}

export function isListDue(list: Pick<ListState, "next_update">, nowMs: number): boolean {
  return list.next_update.getTime() - nowMs < RENEW_BEFORE_MS;
}

/**
 * What has to be made: a full list, a delta list on top of the published one, or nothing. A large
 * list is not made again for every revocation.
 */
export function nextListKind(
  published: ListState | undefined,
  facts: { content: string; entries: number; nowMs: number },
): "full" | "delta" | "none" {
  if (!published || isListDue(published, facts.nowMs)) return "full";
  if (published.content_sha256 === facts.content) return "none";
  // A list that was small when it was made does not say where its deltas are.
  if (Math.min(facts.entries, published.entries) < DELTA_FROM_ENTRIES) return "full";
  const ageMs = facts.nowMs - published.this_update.getTime();
  return ageMs < LARGE_FULL_INTERVAL_MS ? "delta" : "full";
}
