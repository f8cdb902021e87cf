export { holds, nextStates, reportsOf, type Sample, type SeriesState } from "./evaluation.ts";
export type { FactSources } from "./facts.ts";
export {
  type AlertRuleDocument,
  AlertRuleSpec,
  checkRule,
  PLATFORM_CHECKS,
  SOURCE_KINDS,
} from "./rule-document.ts";
export { type AlertRules, createAlertRules, type RulePreview, type RuleView } from "./rules.ts";
