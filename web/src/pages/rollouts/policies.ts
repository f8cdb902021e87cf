import type { RolloutPolicy } from "../../api/index.ts";

export interface PolicyPreset {
  id: string;
  name: string;
  explanation: string;
  policy: Partial<RolloutPolicy>;
}

const HOUR = 3_600;

/** Starting points; whatever is left out takes the platform's default. */
export const POLICY_PRESETS: readonly PolicyPreset[] = [
  {
    id: "evidence",
    name: "On evidence",
    explanation:
      "5 devices, then 5, 25, 50 and 100 %. Widens only when the crash rate is shown not to be three times the old one.",
    policy: {},
  },
  {
    id: "brisk",
    name: "Brisk",
    explanation:
      "The same stages, and a stage that shows nothing bad for six hours is enough. For fixes that cannot wait days.",
    policy: { minSoakSeconds: HOUR, maxSoakSeconds: 6 * HOUR },
  },
  {
    id: "trial",
    name: "Trial",
    explanation: "Minutes a stage, for a test fleet. Not for devices that people depend on.",
    policy: { minSoakSeconds: 30, maxSoakSeconds: 120, evaluateEverySeconds: 5 },
  },
];
