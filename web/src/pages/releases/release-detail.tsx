import { Alert, Button, Grid, Group, Stack, Table, Text, TextInput } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconRocket } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { Link as RouterLink } from "@tanstack/react-router";
import { useState } from "react";
import { api, type DeltaView, deltasQuery, type ReleaseView } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Confirm } from "../../components/confirm.tsx";
import { Hash } from "../../components/copy-text.tsx";
import { formatBytes, formatDuration, formatPercent, humanize } from "../../components/format.ts";
import { Fact } from "../../components/page.tsx";
import { ListSkeleton, Loaded } from "../../components/states.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";

interface ReleaseDetailProps {
  release: ReleaseView;
  /** To name the versions that deltas start from. */
  releases: readonly ReleaseView[];
}

export function ReleaseDetail({ release, releases }: ReleaseDetailProps) {
  const tenant = useTenantId();
  const may = useMay();
  const [yanking, yank] = useDisclosure(false);
  return (
    <Stack p="sm">
      {release.notes && <Text size="sm">{release.notes}</Text>}
      {release.yankReason && (
        <Text size="sm" c="var(--vautn-bad)">
          Withdrawn: {release.yankReason}
        </Text>
      )}
      {release.deltaWarning && (
        <Alert color="yellow" p="xs" title="Deltas will save nothing">
          {release.deltaWarning}
        </Alert>
      )}
      <Grid gap="xl">
        <Grid.Col span={{ base: 12, md: 5 }}>
          <Fact label="Image">{release.imageName}</Fact>
          <Fact label="SHA-256">
            <Hash sha256={release.imageSha256} />
          </Fact>
          <Fact label="From version">{release.minimumSourceVersion ?? "any"}</Fact>
          <Fact label="Security counter">{release.securityCounter}</Fact>
          <Fact label="Signed by">
            <Stack gap={2} align="flex-end">
              {release.signers.map((id) => (
                <Hash key={id} sha256={id} />
              ))}
            </Stack>
          </Fact>
        </Grid.Col>
        <Grid.Col span={{ base: 12, md: 7 }}>
          <Deltas release={release} releases={releases} />
        </Grid.Col>
      </Grid>
      {release.status === "published" && may("engineer") && (
        <Group>
          <Button
            component={RouterLink}
            to={`/t/${tenant}/rollouts?release=${release.id}`}
            size="xs"
            leftSection={<IconRocket size={14} aria-hidden />}
          >
            Roll it out
          </Button>
          <Button size="xs" variant="light" color="red" onClick={yank.open}>
            Withdraw…
          </Button>
        </Group>
      )}
      <YankDialog release={release} opened={yanking} onClose={yank.close} />
    </Stack>
  );
}

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

function Deltas({ release, releases }: ReleaseDetailProps) {
  const tenant = useTenantId();
  const deltas = useQuery(deltasQuery(tenant, release.id));
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

interface YankDialogProps {
  release: ReleaseView;
  opened: boolean;
  onClose: () => void;
}

function YankDialog({ release, opened, onClose }: YankDialogProps) {
  const tenant = useTenantId();
  const [reason, setReason] = useState("");
  const yank = useAction({
    run: () => api.yankRelease(tenant, release.id, reason.trim()),
    done: () => `${release.product} ${release.version} is withdrawn`,
    refresh: ["tenant", tenant, "releases"],
    onDone: onClose,
  });
  return (
    <Confirm
      opened={opened}
      onClose={onClose}
      title={`Withdraw ${release.product} ${release.version}?`}
      confirmLabel="Withdraw the release"
      destructive
      disabled={!reason.trim()}
      busy={yank.isPending}
      onConfirm={() => yank.mutate()}
    >
      <Text size="sm">
        No rollout can be started with it any more, and no further device gets it. Devices that run
        it keep it until they are updated or rolled back. This cannot be undone.
      </Text>
      <TextInput
        label="Reason"
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
    </Confirm>
  );
}
