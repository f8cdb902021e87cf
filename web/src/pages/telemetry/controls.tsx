import {
  Box,
  Button,
  Group,
  Input,
  SegmentedControl,
  Select,
  SimpleGrid,
  TextInput,
} from "@mantine/core";
import { IconArrowBackUp } from "@tabler/icons-react";
import { useEffect, useState } from "react";
import type { FleetMetric } from "../../api/index.ts";
import { COMPARISONS } from "./comparison.ts";
import {
  AGGREGATES,
  FILLS,
  groupingsWith,
  type Question,
  RANGES,
  rangeOf,
  TOPS,
  TRANSFORMS,
  USUAL_RANGE,
} from "./question.ts";

interface ControlsProps {
  question: Question;
  metric: string | undefined;
  metrics: readonly FleetMetric[];
  tags: readonly string[];
  queryError: string | undefined;
  onChange(change: Partial<Question>): void;
}

/** What is asked: of which metric and devices, taken together how, and for which time. */
export function Controls(props: ControlsProps) {
  const { question, metric, metrics, tags, queryError, onChange } = props;
  const { by = "none", aggregate = "avg", transform = "none", fill = "none" } = question;
  const top = question.top ?? (by === "device" ? "10" : "");
  const isGrowth = transform !== "none";
  return (
    <>
      <Group align="flex-start" gap="sm" mb="sm">
        <Select
          label="Metric"
          data={optionsOf(metrics, metric)}
          value={metric ?? null}
          onChange={(next) => onChange({ metric: next ?? undefined })}
          searchable
          allowDeselect={false}
          nothingFoundMessage="No such metric in the last week"
          flex={1}
          miw={220}
        />
        <DeviceFilter query={question.q ?? ""} error={queryError} onChange={onChange} />
        <Input.Wrapper label="Time" labelElement="div">
          <Box>
            <TimeControl question={question} onChange={onChange} />
          </Box>
        </Input.Wrapper>
      </Group>
      <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} spacing="sm">
        <Choice
          label="Lines by"
          data={groupingsWith(tags, by)}
          value={by}
          onChange={(next) => onChange({ by: usual(next, "none"), top: undefined })}
        />
        <Choice
          label="Take"
          data={TRANSFORMS}
          value={transform}
          onChange={(next) => onChange({ transform: usual(next, "none"), across: undefined })}
        />
        {isGrowth ? (
          <Choice
            label="Across devices"
            data={AGGREGATES.filter(({ value }) => value !== "last")}
            value={question.across ?? "sum"}
            onChange={(next) => onChange({ across: usual(next, "sum") })}
          />
        ) : (
          <Choice
            label="As their"
            data={AGGREGATES}
            value={aggregate}
            onChange={(next) => onChange({ aggregate: usual(next, "avg") })}
          />
        )}
        <Choice
          label="Show"
          data={TOPS}
          value={top === "0" ? "" : top}
          disabled={by === "none"}
          onChange={(next) => onChange({ top: next === "" && by === "device" ? "0" : next })}
        />
        <Choice
          label="Gaps"
          data={FILLS}
          value={fill}
          onChange={(next) => onChange({ fill: usual(next, "none") })}
        />
        <Choice
          label="Compare with"
          data={COMPARISONS}
          value={question.compare ?? "none"}
          onChange={(next) => onChange({ compare: usual(next, "none") })}
        />
      </SimpleGrid>
    </>
  );
}

interface ChoiceProps {
  label: string;
  data: { value: string; label: string }[];
  value: string;
  disabled?: boolean;
  onChange(value: string): void;
}

function Choice({ label, data, value, disabled = false, onChange }: ChoiceProps) {
  const known = data.some((one) => one.value === value);
  return (
    <Select
      label={label}
      data={known ? data : [...data, { value, label: value }]}
      value={value}
      onChange={(next) => next !== null && onChange(next)}
      allowDeselect={false}
      searchable={data.length > 8}
      disabled={disabled}
    />
  );
}

function usual(value: string, ofAll: string): string | undefined {
  return value === ofAll ? undefined : value;
}

/** A metric that the address names is there to be chosen, though nobody has spoken of it lately. */
function optionsOf(metrics: readonly FleetMetric[], asked: string | undefined) {
  const options = metrics.map(({ metric, unit, devices }) => ({
    value: metric,
    label: `${metric}${unit ? ` (${unit})` : ""} · ${devices.toLocaleString("en")} devices`,
  }));
  const isKnown = asked === undefined || metrics.some(({ metric }) => metric === asked);
  return isKnown ? options : [...options, { value: asked, label: asked }];
}

interface DeviceFilterProps {
  query: string;
  error: string | undefined;
  onChange(change: Partial<Question>): void;
}

function DeviceFilter({ query, error, onChange }: DeviceFilterProps) {
  const [text, setText] = useState(query);
  useEffect(() => setText(query), [query]);
  const ask = () => text.trim() !== query && onChange({ q: text.trim() || undefined });
  return (
    <form
      style={{ flex: 1, minWidth: 220 }}
      onSubmit={(event) => {
        event.preventDefault();
        ask();
      }}
    >
      <TextInput
        label="Devices"
        placeholder='All. Try: region = "eu-west" and online'
        value={text}
        onChange={(event) => setText(event.currentTarget.value)}
        onBlur={ask}
        error={error}
        classNames={{ input: "mono" }}
      />
    </form>
  );
}

function TimeControl({ question, onChange }: Pick<ControlsProps, "question" | "onChange">) {
  if (rangeOf(question) === undefined) {
    return (
      <Button
        variant="default"
        leftSection={<IconArrowBackUp size={16} aria-hidden />}
        onClick={() => onChange({ from: undefined, to: undefined })}
      >
        Back to the last {question.range ?? USUAL_RANGE}
      </Button>
    );
  }
  return (
    <SegmentedControl
      aria-label="Time range"
      data={Object.keys(RANGES)}
      value={question.range ?? USUAL_RANGE}
      onChange={(range) => onChange({ range: range === USUAL_RANGE ? undefined : range })}
    />
  );
}
