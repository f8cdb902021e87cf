import type { AlertRow } from "./alert-store.ts";
import type { Labels } from "./matchers.ts";

/** What matchers see of an alert: what it says of itself above what its rule adds. */
export function labelsOf(
  row: Pick<AlertRow, "kind" | "severity" | "subject_kind" | "subject_id" | "labels">,
): Labels {
  const { kind, severity, subject_kind: subjectKind, subject_id: subjectId } = row;
  return {
    ...row.labels,
    kind,
    severity,
    subjectKind,
    subjectId,
    ...(subjectKind === "device" ? { device: subjectId } : {}),
  };
}
