import { Box, Group, Paper, Progress, Text, ThemeIcon } from "@mantine/core";
import { IconCheck } from "@tabler/icons-react";
import type { RolloutView, StageView } from "../../api/index.ts";
import { formatDuration, formatNumber, formatPercent } from "../../components/format.ts";
import { BarLegend, StackedBar } from "../../components/stacked-bar.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { barOfCounts, sumCounts } from "./counts.ts";
import classes from "./stage-steps.module.css";

/** The stages in a row: what is behind, what is under way, what is still to come. */
export function StageSteps({ rollout }: { rollout: RolloutView }) {
  return (
    <ol className={classes.steps} aria-label="Stages">
      {rollout.stages.map((stage) => (
        <Stage key={stage.index} stage={stage} rollout={rollout} />
      ))}
    </ol>
  );
}

function Stage({ stage, rollout }: { stage: StageView; rollout: RolloutView }) {
  const done = stage.finishedAt !== null;
  const active = !done && stage.startedAt !== null && stage.index === rollout.stageIndex;
  const devices = sumCounts(stage.counts);
  const succeeded = stage.counts.succeeded ?? 0;
  const parts = barOfCounts(stage.counts);
  return (
    <Paper
      component="li"
      p="md"
      className={classes.step}
      data-active={active || undefined}
      data-waiting={(!done && !active) || undefined}
      aria-current={active ? "step" : undefined}
    >
      <Group gap={8} wrap="nowrap">
        <ThemeIcon
          size={22}
          radius="xl"
          variant={done ? "filled" : "light"}
          color={done ? "moss" : active ? "fjord" : "gray"}
        >
          {done ? (
            <IconCheck size={14} aria-label="done" />
          ) : (
            <Text fz={11} fw={700}>
              {stage.index + 1}
            </Text>
          )}
        </ThemeIcon>
        <Text fw={650} size="sm" truncate>
          {stage.name}
        </Text>
      </Group>
      <Group gap={6} align="baseline" mt={8}>
        <Text fz={22} fw={650} lh={1.1}>
          {formatNumber(succeeded)}
        </Text>
        <Text size="xs" c="dimmed">
          of {formatNumber(devices)}
          {devices > 0 && ` · ${formatPercent(succeeded / devices)}`}
        </Text>
      </Group>
      <Box my={8}>
        {devices > 0 ? (
          <StackedBar label={`Stage ${stage.name}`} parts={parts} height={10} />
        ) : (
          <Progress value={0} size={10} aria-label={`Stage ${stage.name}`} />
        )}
      </Box>
      {stage.startedAt ? (
        <BarLegend parts={parts} />
      ) : (
        <Text size="xs" c="dimmed">
          up to {formatNumber(stage.cumulativeDevices)} devices in all
        </Text>
      )}
      <Text size="xs" c="dimmed" mt={6}>
        {stageTime(stage)}
        {active && stage.startedAt && (
          <>
            began <TimeAgo time={stage.startedAt} />
          </>
        )}
      </Text>
    </Paper>
  );
}

function stageTime({ startedAt, finishedAt }: StageView): string {
  if (!startedAt || !finishedAt) return "";
  return `took ${formatDuration(Date.parse(finishedAt) - Date.parse(startedAt))}`;
}
