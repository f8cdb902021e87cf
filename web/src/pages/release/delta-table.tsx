import { Group, Progress, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type DeltaView, deltasQuery, type ReleaseView, releasesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import {
  formatBytes,
  formatDuration,
  formatNumber,
  formatPercent,
  humanize,
} from "../../components/format.ts";
import { ListSkeleton, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";

const DELTA_TONES: Record<DeltaView["status"], Tone> = {
  ready: "ok",
  building: "busy",
  queued: "idle",
  failed: "bad",
  skipped: "idle",
};
const COLUMNS = 5;
/** A number stays with its unit. */
const ONE_LINE = { whiteSpace: "nowrap" } as const;

/** "118 xz in 12.6 MB": what a device unpacks and packs again. */
function unpackedText({ streams, targetFormBytes }: NonNullable<DeltaView["unpacked"]>): string {
  const parts = streams.map(({ codec, count }) => `${count} ${codec}`);
  return `${parts.join(", ")} unpacked to ${formatBytes(targetFormBytes)}`;
}

/** What was made of the release for devices that run another one, by the version that they run. */
export function DeltaTable({ release }: { release: ReleaseView }) {
  const tenant = useTenantId();
  const deltas = useQuery(deltasQuery(tenant, release.id));
  // To name the versions that deltas start from.
  const input = { product: release.product, limit: 100 };
  const releases = useQuery(releasesQuery(tenant, input)).data?.items ?? [];
  const nameOf = (sha256: string | null) =>
    sha256 === null
      ? "Anything (whole image)"
      : `From ${releases.find((one) => one.imageSha256 === sha256)?.version ?? sha256.slice(0, 10)}`;
  return (
    <Loaded query={deltas} skeleton={<ListSkeleton rows={2} />}>
      {({ items }) =>
        items.length === 0 ? (
          <Text size="sm" c="dimmed">
            No delta yet. They are made for the versions that a rollout's devices run, the most
            common first, in the formats that those devices apply.
          </Text>
        ) : (
          <Table fz="sm" verticalSpacing={5}>
            <Table.Thead>
              <Table.Tr c="dimmed" fz="xs">
                <Table.Th>Format</Table.Th>
                <Table.Th>State</Table.Th>
                <Table.Th ta="right">Size</Table.Th>
                <Table.Th ta="right" style={ONE_LINE}>
                  of image
                </Table.Th>
                <Table.Th ta="right" visibleFrom="sm" style={ONE_LINE}>
                  Made in
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            {[...Map.groupBy(items, (delta) => delta.sourceSha256)].map(([source, group]) => (
              <SourceGroup key={source} name={nameOf(source)} deltas={group} />
            ))}
          </Table>
        )
      }
    </Loaded>
  );
}

/** All ways from one version, the smallest that is ready first: that is what most devices are offered. */
function SourceGroup({ name, deltas }: { name: string; deltas: readonly DeltaView[] }) {
  const ordered = deltas
    .filter(({ status }) => status !== "skipped")
    .toSorted(
      (a, b) =>
        (a.sizeBytes ?? Number.POSITIVE_INFINITY) - (b.sizeBytes ?? Number.POSITIVE_INFINITY),
    );
  const skipped = Map.groupBy(
    deltas.filter(({ status }) => status === "skipped"),
    ({ error }) => error,
  );
  const devices = Math.max(...deltas.map((delta) => delta.devices));
  return (
    <Table.Tbody>
      <Table.Tr>
        <Table.Th colSpan={COLUMNS} scope="rowgroup" pt="sm">
          <Group gap={8} align="baseline">
            {name}
            {devices > 0 && (
              <Text component="span" size="xs" c="dimmed" fw={400}>
                {formatNumber(devices)} {devices === 1 ? "device" : "devices"}
              </Text>
            )}
          </Group>
        </Table.Th>
      </Table.Tr>
      {ordered.map((delta, index) => (
        <DeltaRow key={delta.format} delta={delta} isSmallest={index === 0} />
      ))}
      {[...skipped].map(([reason, group]) => (
        <Table.Tr key={reason}>
          <Table.Td colSpan={COLUMNS} c="dimmed" fz="xs">
            Skipped {group.map(({ format }) => format).join(", ")}
            {reason && <>: {reason}</>}
          </Table.Td>
        </Table.Tr>
      ))}
    </Table.Tbody>
  );
}

function DeltaRow({ delta, isSmallest }: { delta: DeltaView; isSmallest: boolean }) {
  const note = delta.error ?? (delta.unpacked && unpackedText(delta.unpacked));
  const state = humanize(delta.status);
  return (
    <Table.Tr>
      <Table.Td>
        <Text component="span" size="sm" fw={isSmallest && delta.status === "ready" ? 600 : 400}>
          {delta.format}
        </Text>
        {note && (
          <Text size="xs" c={delta.status === "failed" ? "var(--vautn-bad-text)" : "dimmed"}>
            {note}
          </Text>
        )}
      </Table.Td>
      <Table.Td>
        <ToneBadge
          tone={DELTA_TONES[delta.status]}
          label={delta.progress === null ? state : `${state} ${formatPercent(delta.progress)}`}
        />
      </Table.Td>
      <Table.Td ta="right" style={ONE_LINE}>
        {delta.sizeBytes === null ? "–" : formatBytes(delta.sizeBytes)}
      </Table.Td>
      <Table.Td ta="right" style={ONE_LINE} fw={isSmallest ? 600 : 400}>
        {delta.ratio === null ? (
          "–"
        ) : (
          <>
            {formatPercent(delta.ratio)}
            <Progress
              value={Math.min(100, delta.ratio * 100)}
              size={3}
              mt={3}
              color={isSmallest ? undefined : "gray"}
              aria-hidden
            />
          </>
        )}
      </Table.Td>
      <Table.Td ta="right" visibleFrom="sm" style={ONE_LINE}>
        {delta.buildMs === null ? "–" : formatDuration(delta.buildMs)}
      </Table.Td>
    </Table.Tr>
  );
}
