import { Badge, Group, Text } from "@mantine/core";
import type { ReleaseView } from "../../api/index.ts";
import { Hash } from "../../components/copy-text.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatBytes, plural } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { StandingBadge } from "./channel-badge.tsx";

export function ReleaseTable({ releases }: { releases: readonly ReleaseView[] }) {
  const tenant = useTenantId();
  return (
    <DataTable
      caption="Releases"
      rows={releases}
      rowId={(release) => release.id}
      columns={[
        {
          id: "version",
          header: "Release",
          cell: (release) => (
            <>
              <Link
                to="/t/$tenant/releases/$release"
                params={{ tenant, release: release.id }}
                fw={600}
                className="mono"
              >
                {release.version}
              </Link>
              <Text size="xs" c="dimmed">
                {release.product}
              </Text>
            </>
          ),
        },
        {
          id: "channel",
          header: "Channel",
          cell: (release) => <StandingBadge release={release} />,
        },
        {
          id: "notes",
          header: "What is new",
          width: "26%",
          visibleFrom: "lg",
          cell: (release) => (
            <Text size="sm" c={release.notes ? undefined : "dimmed"} lineClamp={2}>
              {firstLine(release.notes) || "–"}
            </Text>
          ),
        },
        {
          id: "hardware",
          header: "Hardware",
          visibleFrom: "sm",
          cell: (release) => (
            <Group gap={4}>
              {release.hardwareRevisions.map((revision) => (
                <Badge key={revision} variant="default" radius="sm" tt="none" fw={450}>
                  {revision}
                </Badge>
              ))}
            </Group>
          ),
        },
        {
          id: "image",
          header: "Image",
          visibleFrom: "sm",
          cell: (release) => (
            <>
              {formatBytes(release.imageSizeBytes)}
              <Text size="xs" c="dimmed" component="div">
                <Hash sha256={release.imageSha256} />
              </Text>
            </>
          ),
        },
        {
          id: "signatures",
          header: "Signed by",
          visibleFrom: "md",
          cell: (release) => plural(release.signers.length, "key"),
        },
        {
          id: "published",
          header: "Published",
          visibleFrom: "sm",
          cell: (release) => (
            <>
              <TimeAgo time={release.publishedAt} />
              <Text size="xs" c="dimmed">
                by {release.publishedBy}
              </Text>
            </>
          ),
        },
      ]}
    />
  );
}

/** Of a changelog, without its marks: what is said, and not the heading above it. */
function firstLine(notes: string): string {
  const lines = notes.split("\n").filter((line) => !line.startsWith("#"));
  return lines.map((line) => line.replace(/^[\s*-]+/, "").trim()).find((line) => line) ?? "";
}
