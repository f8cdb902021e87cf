export type { AlertReport } from "./alert-reports.ts";
export { createDetectors, type Detectors, type DetectorsDeps } from "./detectors.ts";
export { createMetricRules, type MetricRule, type MetricRuleBook } from "./metric-rules.ts";
export { linesOf, RowFault, scoreStream } from "./score-stream.ts";
export { createSnapshotStore, type SnapshotStore } from "./snapshot-store.ts";
export { createWatchLeases } from "./watch-leases-store.ts";
export { WatchShares } from "./watch-shares.ts";
