import { Button, Modal, Stack, Text } from "@mantine/core";
import { useState } from "react";
import { stringify } from "yaml";
import type { RolloutPolicy, RolloutView } from "../../api/index.ts";
import { CopyBlock } from "../../components/copy-text.tsx";
import { formatBytes, formatDuration, formatNumber, plural } from "../../components/format.ts";
import { Fact, Panel } from "../../components/page.tsx";

/** Who may begin when, as the policy says, and the whole of it as a file. */
export function PlanPanel({ rollout }: { rollout: RolloutView }) {
  const [asked, setAsked] = useState(false);
  if (rollout.kind !== "update") return null;
  return (
    <Panel
      title="Plan"
      actions={
        <Button size="compact-xs" variant="default" onClick={() => setAsked(true)}>
          As a file
        </Button>
      }
    >
      {planFacts(rollout.policy).map(([label, value]) => (
        <Fact key={label} label={label}>
          {value}
        </Fact>
      ))}
      <Modal opened={asked} onClose={() => setAsked(false)} title="The rollout as a file" size="lg">
        <Stack gap="xs">
          <Text size="sm" c="dimmed">
            What would make this rollout again: with New rollout → As a file, or{" "}
            <span className="mono">vautn rollout create -f rollout.yaml</span>.
          </Text>
          <CopyBlock text={fileOf(rollout)} label="the file" />
        </Stack>
      </Modal>
    </Panel>
  );
}

/** As `vautn rollout export` writes it. */
function fileOf({ name, release, query, policy }: RolloutView): string {
  return stringify({ name, release: `${release.product}@${release.version}`, query, policy });
}

const ORDERS: Record<NonNullable<RolloutPolicy["order"]>, string> = {
  random: "random",
  "least-critical-first": "least critical first",
  "one-per-site-first": "one of each site first",
};

function planFacts(policy: RolloutPolicy): [string, string][] {
  const { window, disruption, downloads, retry, penalty } = policy;
  const facts: [string, string][] = [["Order", ORDERS[policy.order ?? "random"]]];
  if (policy.startAt) facts.push(["Begins", new Date(policy.startAt).toLocaleString()]);
  if (policy.priority) facts.push(["Priority", String(policy.priority)]);
  if (window) {
    const days = window.days ? `${window.days.join(", ")} ` : "";
    const zone = `zone by tag ${window.zoneTag ?? "timezone"}, else ${window.timeZone ?? "UTC"}`;
    facts.push(["Window", `${days}${window.from} to ${window.to}, ${zone}`]);
  }
  if (disruption) {
    facts.push(["At once", `${disruption.atMost} of the same ${disruption.tag ?? "site"}`]);
  }
  if (policy.maxConcurrent) facts.push(["At once in all", formatNumber(policy.maxConcurrent)]);
  if (downloads?.concurrent) facts.push(["Downloads at once", formatNumber(downloads.concurrent)]);
  if (downloads?.bytesPerSecond) {
    facts.push(["Downloads together", `${formatBytes(downloads.bytesPerSecond)}/s`]);
  }
  if (policy.steppingStones?.length) facts.push(["By way of", policy.steppingStones.join(", ")]);
  if (policy.dynamic) facts.push(["Open", "devices that come to match join"]);
  if (policy.requireSecureBoot) facts.push(["Only", "devices with Secure Boot on"]);
  if (retry) {
    const again = formatDuration(retry.afterSeconds * 1_000);
    facts.push(["Tries again", `${plural(retry.attempts, "time")}, each after ${again}`]);
  }
  const box = penalty ?? { failures: 3, days: 30 };
  facts.push(["Penalty box", `after ${box.failures} failures in ${box.days} days`]);
  return facts;
}
