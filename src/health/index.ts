export { createDetectors, type Detectors, type DetectorsDeps } from "./detectors.ts";
export { scoreStream } from "./score-stream.ts";
