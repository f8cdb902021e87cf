import { Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { type DeltaView, deltasQuery, type ReleaseView, releasesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { formatBytes, formatDuration, formatPercent, humanize } from "../../components/format.ts";
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

/** "118 xz in 12.6 MB": what a device unpacks and packs again. */
function unpackedText({ streams, targetFormBytes }: NonNullable<DeltaView["unpacked"]>): string {
  const parts = streams.map(({ codec, count }) => `${count} ${codec}`);
  return `${parts.join(", ")} unpacked to ${formatBytes(targetFormBytes)}`;
}

/** What was made of the release for devices that run another one. */
export function DeltaTable({ release }: { release: ReleaseView }) {
  const tenant = useTenantId();
  const deltas = useQuery(deltasQuery(tenant, release.id));
  // To name the versions that deltas start from.
  const input = { product: release.product, limit: 100 };
  const releases = useQuery(releasesQuery(tenant, input)).data?.items ?? [];
  const versionOf = (sha256: string) =>
    releases.find(({ imageSha256 }) => imageSha256 === sha256)?.version;
  return (
    <Loaded query={deltas} skeleton={<ListSkeleton rows={2} />}>
      {({ items }) =>
        items.length === 0 ? (
          <Text size="sm" c="dimmed">
            No delta yet. They are made for the versions that a rollout's devices run.
          </Text>
        ) : (
          <Table fz="sm" verticalSpacing={5}>
            <Table.Thead>
              <Table.Tr c="dimmed" fz="xs">
                <Table.Th>Delta from</Table.Th>
                <Table.Th>State</Table.Th>
                <Table.Th ta="right">Size</Table.Th>
                <Table.Th ta="right">of the image</Table.Th>
                <Table.Th ta="right" visibleFrom="sm">
                  Made in
                </Table.Th>
              </Table.Tr>
            </Table.Thead>
            <Table.Tbody>
              {items.map((delta) => (
                <Table.Tr key={`${delta.sourceSha256} ${delta.format}`}>
                  <Table.Td>
                    {delta.sourceSha256 === null
                      ? "nothing (whole image)"
                      : (versionOf(delta.sourceSha256) ?? delta.sourceSha256.slice(0, 10))}
                    <Text size="xs" c="dimmed">
                      {delta.format}
                      {delta.unpacked && ` · ${unpackedText(delta.unpacked)}`}
                    </Text>
                  </Table.Td>
                  <Table.Td title={delta.error ?? undefined}>
                    <ToneBadge
                      tone={DELTA_TONES[delta.status]}
                      label={
                        delta.progress === null
                          ? humanize(delta.status)
                          : `${humanize(delta.status)} ${formatPercent(delta.progress)}`
                      }
                    />
                  </Table.Td>
                  <Table.Td ta="right">
                    {delta.sizeBytes === null ? "–" : formatBytes(delta.sizeBytes)}
                  </Table.Td>
                  <Table.Td ta="right" fw={600}>
                    {delta.ratio === null ? "–" : formatPercent(delta.ratio)}
                  </Table.Td>
                  <Table.Td ta="right" visibleFrom="sm">
                    {delta.buildMs === null ? "–" : formatDuration(delta.buildMs)}
                  </Table.Td>
                </Table.Tr>
              ))}
            </Table.Tbody>
          </Table>
        )
      }
    </Loaded>
  );
}
