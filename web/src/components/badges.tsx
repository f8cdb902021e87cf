import { Badge } from "@mantine/core";
import {
  IconAlertTriangle,
  IconCircle,
  IconCircleCheck,
  IconClock,
  IconProgress,
} from "@tabler/icons-react";
import {
  commandTone,
  healthTone,
  levelTone,
  presenceTone,
  rolloutTone,
  severityTone,
  TONE_COLORS,
  type Tone,
  updateTone,
} from "../theme/tones.ts";
import { humanize } from "./format.ts";

/** Every tone has a shape as well as a colour. */
const TONE_ICONS: Record<Tone, typeof IconCircle> = {
  ok: IconCircleCheck,
  busy: IconProgress,
  late: IconClock,
  bad: IconAlertTriangle,
  idle: IconCircle,
};

interface ToneBadgeProps {
  tone: Tone;
  label: string;
  size?: "sm" | "md" | "lg";
}

export function ToneBadge({ tone, label, size = "md" }: ToneBadgeProps) {
  const Icon = TONE_ICONS[tone];
  return (
    <Badge
      color={TONE_COLORS[tone]}
      variant="light"
      size={size}
      radius="sm"
      tt="none"
      fw={550}
      leftSection={<Icon size={size === "lg" ? 15 : 13} stroke={2} aria-hidden />}
    >
      {label}
    </Badge>
  );
}

export function PresenceBadge({ presence }: { presence: string }) {
  const label = presence === "never" ? "Never seen" : humanize(presence);
  return <ToneBadge tone={presenceTone(presence)} label={label} />;
}

export function HealthBadge({ health }: { health: string }) {
  return <ToneBadge tone={healthTone(health)} label={humanize(health)} />;
}

export function RolloutBadge({ state, size }: { state: string; size?: "md" | "lg" }) {
  const label = state === "needs-decision" ? "Needs your decision" : humanize(state);
  return <ToneBadge tone={rolloutTone(state)} label={label} {...(size ? { size } : {})} />;
}

export function UpdateBadge({ state }: { state: string }) {
  return <ToneBadge tone={updateTone(state)} label={humanize(state)} />;
}

export function CommandBadge({ status }: { status: string }) {
  return <ToneBadge tone={commandTone(status)} label={humanize(status)} />;
}

export function SeverityBadge({ severity }: { severity: string }) {
  return <ToneBadge tone={severityTone(severity)} label={humanize(severity)} />;
}

export function LevelBadge({ level }: { level: string }) {
  return (
    <Badge color={TONE_COLORS[levelTone(level)]} variant="light" size="sm" radius="sm" w={58}>
      {level}
    </Badge>
  );
}
