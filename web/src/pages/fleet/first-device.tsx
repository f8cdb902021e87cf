import { Code, Paper, Stack, Text, Timeline, Title } from "@mantine/core";
import {
  IconCpu,
  IconKey,
  IconLogin2,
  IconPlayerPlay,
  IconRocket,
  IconShieldCheck,
} from "@tabler/icons-react";
import { CopyBlock } from "../../components/copy-text.tsx";
import { Link } from "../../components/link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** What an empty fleet says: how the first device gets in. */
export function FirstDevice() {
  const tenant = useTenantId();
  const signIn = `npx vautn login ${window.location.origin} --tenant ${tenant}`;
  const keys = [
    "npx vautn firmware keygen root.pem",
    "npx vautn firmware keygen release.pem",
    "npx vautn firmware root --root-key root.pem --release-key release.pem",
  ].join("\n");
  const enroll =
    "npx vautn device enroll pump-001 --product pump --hardware rev-a --out ./pump-001";
  const simulate = [
    "head -c 2000000 /dev/urandom > image.bin",
    "npx vautn firmware build image.bin --product pump --hardware rev-a --version 1.0.0 --out release.json",
    "npx vautn firmware sign release.json --key release.pem",
    "npx vautn firmware publish release.json --image image.bin",
    "npx vautn simulate --devices 20 --image image.bin --manifest release.json",
  ].join("\n");
  return (
    <Paper p="xl" maw={820}>
      <Stack>
        <Title order={2} fz="lg">
          No device yet. Here is how the first one gets in.
        </Title>
        <Timeline bulletSize={30} lineWidth={2} active={-1} mt="sm">
          <Timeline.Item
            bullet={<IconLogin2 size={16} aria-hidden />}
            title="Sign in at a terminal"
          >
            <Text size="sm" c="dimmed" mb={6}>
              In the folder of Vautn, so that <Code>npx</Code> finds it.
            </Text>
            <CopyBlock text={signIn} label="the commands" />
          </Timeline.Item>
          <Timeline.Item
            bullet={<IconShieldCheck size={16} aria-hidden />}
            title="Say whose firmware the devices trust"
          >
            <Text size="sm" c="dimmed" mb={6}>
              Two keys that stay with you: one signs releases, the other may name new keys.
            </Text>
            <CopyBlock text={keys} label="the commands" />
          </Timeline.Item>
          <Timeline.Item bullet={<IconKey size={16} aria-hidden />} title="Enrol a device">
            <Text size="sm" c="dimmed" mb={6}>
              The command writes a key, a certificate and the trust anchors into a folder. A device
              can also enrol itself with a{" "}
              <Link to="/t/$tenant/settings" params={{ tenant }} search={{ tab: "claim-tokens" }}>
                claim token
              </Link>
              .
            </Text>
            <CopyBlock text={enroll} label="the commands" />
          </Timeline.Item>
          <Timeline.Item bullet={<IconPlayerPlay size={16} aria-hidden />} title="Start the agent">
            <Text size="sm" c="dimmed" mb={6}>
              It connects over mutual TLS with that certificate, and appears here with its first
              heartbeat.
            </Text>
            <CopyBlock
              text="npx vautn agent run --config ./pump-001/agent.json"
              label="the command"
            />
          </Timeline.Item>
          <Timeline.Item
            bullet={<IconCpu size={16} aria-hidden />}
            title="Or try a simulated fleet"
          >
            <Text size="sm" c="dimmed" mb={6}>
              The same agent on simulated boards, which leave the factory with a release of their
              own.
            </Text>
            <CopyBlock text={simulate} label="the commands" />
          </Timeline.Item>
          <Timeline.Item bullet={<IconRocket size={16} aria-hidden />} title="Ship firmware to it">
            <Text size="sm" c="dimmed">
              Publish a signed release as above, with a higher version, then start a rollout.
            </Text>
          </Timeline.Item>
        </Timeline>
      </Stack>
    </Paper>
  );
}
