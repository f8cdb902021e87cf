import { Code, Paper, Stack, Text, Timeline, Title } from "@mantine/core";
import { IconCpu, IconKey, IconPlayerPlay, IconRocket } from "@tabler/icons-react";
import { CopyText } from "../../components/copy-text.tsx";
import { Link } from "../../components/link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** What an empty fleet says: how the first device gets in. */
export function FirstDevice() {
  const tenant = useTenantId();
  const enroll = `vautn device enroll pump-001 --tenant ${tenant} --product pump --hardware rev-a --out ./pump-001`;
  return (
    <Paper p="xl" maw={820}>
      <Stack>
        <Title order={2} fz="lg">
          No device yet. Here is how the first one gets in.
        </Title>
        <Timeline bulletSize={30} lineWidth={2} active={-1} mt="sm">
          <Timeline.Item bullet={<IconKey size={16} aria-hidden />} title="Enrol it">
            <Text size="sm" c="dimmed" mb={6}>
              The command writes a key, a certificate and the trust anchors into a folder. A device
              can also enrol itself with a{" "}
              <Link to="/t/$tenant/settings" params={{ tenant }} search={{ tab: "claim-tokens" }}>
                claim token
              </Link>
              .
            </Text>
            <Command text={enroll} />
          </Timeline.Item>
          <Timeline.Item bullet={<IconPlayerPlay size={16} aria-hidden />} title="Start the agent">
            <Text size="sm" c="dimmed" mb={6}>
              It connects over mutual TLS with that certificate, and appears here with its first
              heartbeat.
            </Text>
            <Command text="vautn agent run --config ./pump-001/device.json" />
          </Timeline.Item>
          <Timeline.Item
            bullet={<IconCpu size={16} aria-hidden />}
            title="Or try a simulated fleet"
          >
            <Text size="sm" c="dimmed" mb={6}>
              The same agent on a simulated board.
            </Text>
            <Command text={`vautn simulate --devices 20 --tenant ${tenant}`} />
          </Timeline.Item>
          <Timeline.Item bullet={<IconRocket size={16} aria-hidden />} title="Ship firmware to it">
            <Text size="sm" c="dimmed">
              Publish a signed release with <Code>vautn firmware publish</Code>, then start a
              rollout.
            </Text>
          </Timeline.Item>
        </Timeline>
      </Stack>
    </Paper>
  );
}

function Command({ text }: { text: string }) {
  return (
    <Code block style={{ whiteSpace: "pre-wrap" }}>
      <CopyText text={text} />
    </Code>
  );
}
