import { Accordion, Alert, Badge, Group, Stack, Table, Text } from "@mantine/core";
import { IconInfoCircle } from "@tabler/icons-react";
import type { RolloutPlan } from "../../api/index.ts";
import {
  formatBytes,
  formatDuration,
  formatNumber,
  formatPercent,
  plural,
} from "../../components/format.ts";

const IDS_SHOWN = 200;

/** Exactly which devices, in which stage, and who is left out and why. */
export function PlanPreview({ plan }: { plan: RolloutPlan }) {
  const named = Object.groupBy(plan.excluded, ({ reason }) => reason);
  const left = plan.excludedReasons.reduce((sum, { devices }) => sum + devices, 0);
  const notCompared = plan.notComparedReasons.reduce((sum, { devices }) => sum + devices, 0);
  return (
    <Stack>
      <Group gap="xl">
        <Figure label="Devices" value={formatNumber(plan.totalDevices)} />
        <Figure label="Left out" value={formatNumber(left)} />
        <Figure label="To download" value={formatBytes(plan.bytesExpected)} />
        <Figure label="Likely to last" value={lasts(plan.estimate)} />
        <Figure label="Within reach now" value={formatNumber(plan.estimate.reach.now)} />
        {plan.bytesFull > plan.bytesExpected && (
          <Figure
            label="Saved by deltas so far"
            value={formatPercent(1 - plan.bytesExpected / plan.bytesFull)}
          />
        )}
      </Group>
      {plan.totalDevices === 0 && (
        <Alert color="amber" icon={<IconInfoCircle aria-hidden />}>
          The rollout would touch no device: see below why each was left out.
        </Alert>
      )}
      {notCompared > 0 && (
        <Alert color="amber" icon={<IconInfoCircle aria-hidden />}>
          {plural(notCompared, "device")} will be updated and not counted by the gate:{" "}
          {plan.notComparedReasons.map(({ reason }) => reason).join(", ")}.
        </Alert>
      )}
      {plan.paths.length > 0 && (
        <Text size="sm" c="dimmed">
          {plan.paths
            .map(
              (path) =>
                `${plural(path.devices, "device")} from ${path.from ?? "an unknown version"}${path.via.length > 0 ? ` by ${path.via.join(", ")}` : ""}`,
            )
            .join(", ")}
          .
        </Text>
      )}
      <Accordion variant="separated" multiple>
        {plan.stages.map((stage) => (
          <Accordion.Item key={stage.index} value={String(stage.index)}>
            <Accordion.Control>
              <Group justify="space-between" pr="md">
                <Text size="sm" fw={550}>
                  {stage.index + 1}. {stage.name}
                </Text>
                <Text size="sm" c="dimmed">
                  {sizeOf(plan, stage.index) > 0 &&
                    `+${formatNumber(sizeOf(plan, stage.index))} → `}
                  {plural(stage.cumulativeDevices, "device")}
                </Text>
              </Group>
            </Accordion.Control>
            <Accordion.Panel>
              <Group gap={4}>
                {stage.deviceIds.slice(0, IDS_SHOWN).map((id) => (
                  <Badge key={id} variant="default" radius="sm" tt="none" fw={450}>
                    {id}
                  </Badge>
                ))}
                {sizeOf(plan, stage.index) > IDS_SHOWN && (
                  <Text size="xs" c="dimmed">
                    and {formatNumber(sizeOf(plan, stage.index) - IDS_SHOWN)} more
                  </Text>
                )}
              </Group>
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
      {plan.warnings.map((warning) => (
        <Alert key={warning} color="amber" icon={<IconInfoCircle aria-hidden />}>
          {warning}
        </Alert>
      ))}
      {plan.excludedReasons.length > 0 && (
        <Table fz="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Left out because</Table.Th>
              <Table.Th ta="right">Devices</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {plan.excludedReasons.map(({ reason, devices }) => (
              <Table.Tr key={reason}>
                <Table.Td>{reason}</Table.Td>
                <Table.Td
                  ta="right"
                  title={(named[reason] ?? [])
                    .slice(0, 50)
                    .map((it) => it.deviceId)
                    .join(", ")}
                >
                  {formatNumber(devices)}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Stack>
  );
}

/** Devices of one stage alone; the plan names the first thousand of them. */
function sizeOf({ stages }: RolloutPlan, index: number): number {
  return (stages[index]?.cumulativeDevices ?? 0) - (stages[index - 1]?.cumulativeDevices ?? 0);
}

/** How long it takes if nothing is wrong. */
function lasts({ minimumSeconds, expectedSeconds }: RolloutPlan["estimate"]): string {
  const least = formatDuration(minimumSeconds * 1_000);
  return expectedSeconds === null ? `${least} or more` : formatDuration(expectedSeconds * 1_000);
}

function Figure({ label, value }: { label: string; value: string }) {
  return (
    <div>
      <Text size="xs" c="dimmed">
        {label}
      </Text>
      <Text fz="xl" fw={650}>
        {value}
      </Text>
    </div>
  );
}
