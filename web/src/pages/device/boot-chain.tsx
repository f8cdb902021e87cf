import { Badge, Group, Stack, Text, Timeline } from "@mantine/core";
import { IconShieldCheck, IconShieldX } from "@tabler/icons-react";
import type { DeviceView } from "../../api/index.ts";
import { Hash } from "../../components/copy-text.tsx";
import { Fact, Panel } from "../../components/page.tsx";

type Chain = NonNullable<DeviceView["bootChain"]>;
type Stage = Chain["stages"][number];

/** What verified the device's present start, from the firmware's keys to the last script. */
export function BootChainPanel({ chain }: { chain: Chain }) {
  const verified = chain.secureBoot && !chain.setupMode;
  return (
    <Panel title="Boot chain">
      <Group justify="space-between" mb="sm">
        <Text size="sm" c="dimmed">
          Secure Boot
        </Text>
        <Badge
          radius="sm"
          tt="none"
          variant="light"
          color={verified ? "green" : "red"}
          leftSection={
            verified ? (
              <IconShieldCheck size={12} aria-hidden />
            ) : (
              <IconShieldX size={12} aria-hidden />
            )
          }
        >
          {verified ? "on" : chain.setupMode ? "setup mode: no keys" : "off"}
        </Badge>
      </Group>
      <Timeline bulletSize={12} lineWidth={2} active={verified ? chain.stages.length : -1}>
        {chain.stages.map((stage) => (
          <Timeline.Item key={stage.stage} title={titleOf(stage)}>
            <StageNotes stage={stage} />
          </Timeline.Item>
        ))}
      </Timeline>
      <Stack gap={0} mt="md">
        {Object.entries(chain.keys).map(([name, sha256]) => (
          <Fact key={name} label={name}>
            <Hash sha256={sha256} />
          </Fact>
        ))}
      </Stack>
    </Panel>
  );
}

const NAMES: Record<string, string> = {
  loader: "Loader",
  system: "System",
  configuration: "Configuration",
};

function titleOf({ stage, version, source }: Stage) {
  const none = stage === "configuration" && source === "built-in";
  return (
    <Text size="sm" fw={550} component="span">
      {NAMES[stage] ?? stage} {none ? "built-in" : version}
    </Text>
  );
}

function StageNotes({ stage }: { stage: Stage }) {
  const { counter, floor, source, fault } = stage;
  return (
    <>
      {floor !== undefined && floor > 0 && (
        <Text size="xs" c="dimmed">
          counter {counter ?? 0}, accepted from {floor} on
        </Text>
      )}
      {source === "previous" && (
        <Text size="xs" c="dimmed">
          the one before the last
        </Text>
      )}
      {fault && (
        <Text size="xs" c="var(--vautn-bad-text)">
          {fault}
        </Text>
      )}
    </>
  );
}
