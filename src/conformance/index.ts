export {
  CONFORMANCE_CASES,
  type ConformanceOptions,
  type ConformanceResult,
  runConformance,
} from "./run.ts";
