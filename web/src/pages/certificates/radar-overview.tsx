import { Group, Paper, SimpleGrid, Stack, Text, UnstyledButton } from "@mantine/core";
import {
  IconAlertTriangle,
  IconClockExclamation,
  IconCpu,
  IconHandStop,
  IconShieldOff,
  IconUserQuestion,
} from "@tabler/icons-react";
import { useNavigate } from "@tanstack/react-router";
import type { ReactNode } from "react";
import type { Radar } from "../../api/index.ts";
import { formatNumber, humanize, plural } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { type Tone, toneFill } from "../../theme/tones.ts";
import { ExpiryChart } from "./expiry-chart.tsx";
import { ShareList } from "./share-list.tsx";

/** What a tile or a share leads to. */
type Drill = Partial<Record<"tab" | "status" | "algorithm" | "before" | "after" | "step", string>>;

export function RadarOverview({ picture }: { picture: Radar }) {
  const navigate = useNavigate({ from: "/t/$tenant/certificates" });
  const go = (search: Drill) => void navigate({ search });
  return (
    <Stack>
      <Tiles picture={picture} go={go} />
      <Panel title="When the devices' certificates end">
        <ExpiryChart
          picture={picture}
          onWeek={(after, before) => go({ tab: "all", status: "active", after, before })}
        />
      </Panel>
      <SimpleGrid cols={{ base: 1, md: 3 }}>
        <Panel title="Stuck at">
          <ShareList
            label="Steps at which rotations are stuck"
            empty="No rotation is in trouble."
            tone="late"
            items={picture.steps.map(({ name, count }) => ({
              name: humanize(name),
              count,
              id: name,
            }))}
            onPick={(step) => go({ tab: "failing", step })}
          />
        </Panel>
        <Panel title="Keys">
          <ShareList
            label="Kinds of keys"
            empty="No certificate is in force."
            tone="busy"
            items={picture.algorithms.map(({ name, count }) => ({ name, count, id: name }))}
            onPick={(algorithm) => go({ tab: "all", status: "active", algorithm })}
          />
        </Panel>
        <Panel title="Issued by">
          <ShareList
            label="Issuing authorities"
            empty="No certificate is in force."
            tone="ok"
            items={picture.authorities}
          />
        </Panel>
      </SimpleGrid>
    </Stack>
  );
}

function Tiles({ picture, go }: { picture: Radar; go: (search: Drill) => void }) {
  return (
    <SimpleGrid cols={{ base: 2, sm: 3, lg: 6 }} spacing="sm">
      <Tile
        label="Devices"
        value={picture.devices}
        icon={IconCpu}
        tone="ok"
        note={`${formatNumber(picture.withoutCertificate)} without one`}
        onPick={() => go({ tab: "all", status: "active" })}
      />
      <Tile
        label="Overdue"
        value={picture.overdue}
        icon={IconClockExclamation}
        tone={picture.expired > 0 ? "bad" : "late"}
        note={`${formatNumber(picture.expired)} have ended`}
        onPick={() => go({ tab: "all", status: "active" })}
      />
      <Tile
        label="Rotation fails"
        value={picture.failing}
        icon={IconAlertTriangle}
        tone="late"
        onPick={() => go({ tab: "failing" })}
      />
      <Tile
        label="Refused, 24 h"
        value={picture.knocks24h}
        icon={IconUserQuestion}
        tone="late"
        onPick={() => go({ tab: "refused" })}
      />
      <Tile
        label="On hold"
        value={picture.held}
        icon={IconHandStop}
        tone="late"
        note={`${plural(picture.quarantined, "device")} in quarantine`}
        onPick={() => go({ tab: "all", status: "held" })}
      />
      <Tile
        label="Revoked"
        value={picture.revoked}
        icon={IconShieldOff}
        tone="bad"
        onPick={() => go({ tab: "all", status: "revoked" })}
      />
    </SimpleGrid>
  );
}

interface TileProps {
  label: string;
  value: number;
  icon: typeof IconCpu;
  tone: Tone;
  note?: ReactNode;
  onPick: () => void;
}

function Tile({ label, value, icon: Icon, tone, note, onPick }: TileProps) {
  return (
    <UnstyledButton onClick={onPick}>
      <Paper p="md" h="100%" className="tile">
        <Group justify="space-between" wrap="nowrap">
          <Text size="xs" c="dimmed" fw={500} truncate>
            {label}
          </Text>
          <Icon
            size={17}
            stroke={1.8}
            aria-hidden
            color={value > 0 ? toneFill(tone) : "var(--mantine-color-dimmed)"}
          />
        </Group>
        <Text fz={26} lh={1.2} mt={4} fw={650} style={{ letterSpacing: "-0.02em" }}>
          {formatNumber(value)}
        </Text>
        {note && (
          <Text size="xs" c="dimmed">
            {note}
          </Text>
        )}
      </Paper>
    </UnstyledButton>
  );
}
