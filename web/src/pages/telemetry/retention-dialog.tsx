import {
  Button,
  Group,
  Modal,
  NumberInput,
  SimpleGrid,
  Stack,
  Text,
  TextInput,
} from "@mantine/core";
import { useForm } from "@mantine/form";
import {
  type KeptDays,
  type RetentionEstimate,
  type RetentionRule,
  type TelemetryRetention,
  telemetryApi,
} from "../../api/index.ts";
import { formatBytes, formatNumber, formatPercent } from "../../components/format.ts";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

interface RetentionDialogProps {
  /** What is changed; absent for a new one. */
  rule: RetentionRule | undefined;
  retention: TelemetryRetention;
  isSaving: boolean;
  onSave(rules: RetentionRule[]): void;
  onClose(): void;
}

const FIELDS: { name: keyof KeptDays; label: string }[] = [
  { name: "points", label: "Points" },
  { name: "minutes", label: "Rollups by the minute" },
  { name: "hours", label: "Rollups by the hour" },
  { name: "days", label: "Rollups by the day" },
];
const PATTERN = /^[A-Za-z0-9_*][A-Za-z0-9_.:/*-]*$/;

/** One rule, and what it would remove. */
export function RetentionDialog(props: RetentionDialogProps) {
  const { rule, retention, isSaving, onSave, onClose } = props;
  const tenant = useTenantId();
  const form = useForm<RetentionRule>({
    initialValues: rule ?? { pattern: "", ...retention.all },
    validate: {
      pattern: (pattern) =>
        PATTERN.test(pattern) ? null : "The name of a metric, with * for any text",
      minutes: (minutes, { points }) => (minutes < points ? "At least as long as points" : null),
      hours: (hours, { minutes }) => (hours < minutes ? "At least as those by the minute" : null),
      days: (days, { hours }) => (days < hours ? "At least as those by the hour" : null),
    },
    onValuesChange: () => estimate.reset(),
  });
  const rulesWith = (changed: RetentionRule) =>
    rule
      ? retention.rules.map((one) => (one.pattern === rule.pattern ? changed : one))
      : [...retention.rules, changed];
  const estimate = useAction({
    run: (changed: RetentionRule) => telemetryApi.estimate(tenant, { rules: rulesWith(changed) }),
  });
  return (
    <Modal opened onClose={onClose} title={rule ? `Keep ${rule.pattern} for` : "New rule"}>
      <form onSubmit={form.onSubmit((values) => onSave(rulesWith(values)))}>
        <Stack>
          <TextInput
            label="Metrics"
            description="One name, or a pattern such as debug.*"
            classNames={{ input: "mono" }}
            data-autofocus
            {...form.getInputProps("pattern")}
          />
          <SimpleGrid cols={2}>
            {FIELDS.map(({ name, label }) => (
              <NumberInput
                key={name}
                label={label}
                suffix=" days"
                min={1}
                max={3_650}
                allowDecimal={false}
                allowNegative={false}
                {...form.getInputProps(name)}
              />
            ))}
          </SimpleGrid>
          {estimate.data && <Saving estimate={estimate.data} />}
          <Group justify="space-between">
            <Button
              variant="subtle"
              loading={estimate.isPending}
              onClick={() => {
                if (!form.validate().hasErrors) estimate.mutate(form.getValues());
              }}
            >
              What would it save?
            </Button>
            <Group gap="xs">
              <Button variant="default" onClick={onClose}>
                Close
              </Button>
              <Button type="submit" loading={isSaving}>
                Save
              </Button>
            </Group>
          </Group>
        </Stack>
      </form>
    </Modal>
  );
}

function Saving({ estimate }: { estimate: RetentionEstimate }) {
  const { points, rollups, sizeBytes, share } = estimate;
  return (
    <Text size="sm" role="status">
      {sizeBytes === 0
        ? "Nothing that is kept now would go."
        : `About ${formatBytes(sizeBytes)} would go, ${formatPercent(share)} of the telemetry: ` +
          `${formatNumber(points.rows)} points and ${formatNumber(rollups.rows)} rows of rollups.`}
    </Text>
  );
}
