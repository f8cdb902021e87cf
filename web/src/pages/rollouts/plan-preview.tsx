import { Accordion, Alert, Badge, Group, Stack, Table, Text } from "@mantine/core";
import { IconInfoCircle } from "@tabler/icons-react";
import type { RolloutPlan } from "../../api/index.ts";
import { formatBytes, formatNumber, formatPercent, plural } from "../../components/format.ts";

const IDS_SHOWN = 200;

/** Exactly which devices, in which stage, and who is left out and why. */
export function PlanPreview({ plan }: { plan: RolloutPlan }) {
  const reasons = Object.entries(Object.groupBy(plan.excluded, ({ reason }) => reason));
  return (
    <Stack>
      <Group gap="xl">
        <Figure label="Devices" value={formatNumber(plan.totalDevices)} />
        <Figure label="Left out" value={formatNumber(plan.excluded.length)} />
        <Figure label="To download" value={formatBytes(plan.bytesExpected)} />
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
      {plan.notCompared.length > 0 && (
        <Alert color="amber" icon={<IconInfoCircle aria-hidden />}>
          {plural(plan.notCompared.length, "device")} will be updated and not counted by the gate:{" "}
          {[...new Set(plan.notCompared.map(({ reason }) => reason))].join(", ")}.
        </Alert>
      )}
      {plan.paths.length > 0 && (
        <Text size="sm" c="dimmed">
          {plan.paths
            .map(
              (path) =>
                `${plural(path.devices, "device")} from ${path.from ?? "an unknown version"}`,
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
                  {stage.deviceIds.length > 0 && `+${formatNumber(stage.deviceIds.length)} → `}
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
                {stage.deviceIds.length > IDS_SHOWN && (
                  <Text size="xs" c="dimmed">
                    and {formatNumber(stage.deviceIds.length - IDS_SHOWN)} more
                  </Text>
                )}
              </Group>
            </Accordion.Panel>
          </Accordion.Item>
        ))}
      </Accordion>
      {reasons.length > 0 && (
        <Table fz="sm">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Left out because</Table.Th>
              <Table.Th ta="right">Devices</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {reasons.map(([reason, devices = []]) => (
              <Table.Tr key={reason}>
                <Table.Td>{reason}</Table.Td>
                <Table.Td
                  ta="right"
                  title={devices
                    .slice(0, 50)
                    .map((it) => it.deviceId)
                    .join(", ")}
                >
                  {formatNumber(devices.length)}
                </Table.Td>
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      )}
    </Stack>
  );
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
