import { ActionIcon, Badge, Button, Group, Paper, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconChevronDown, IconChevronRight, IconPackage, IconUpload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { type ReleaseView, releasesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { CopyText, Hash } from "../../components/copy-text.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatBytes, plural } from "../../components/format.ts";
import { Page } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { PublishDialog } from "./publish-dialog.tsx";
import { ReleaseDetail } from "./release-detail.tsx";

export function ReleasesPage() {
  const tenant = useTenantId();
  const may = useMay();
  const releases = useQuery(releasesQuery(tenant));
  const [openId, setOpenId] = useState<string>();
  const [publishing, publish] = useDisclosure(false);
  return (
    <Page
      title="Releases"
      actions={
        may("engineer") && (
          <Button leftSection={<IconUpload size={16} aria-hidden />} onClick={publish.open}>
            Publish
          </Button>
        )
      }
    >
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={releases}>
          {({ items }) =>
            items.length === 0 ? (
              <EmptyState icon={IconPackage} title="No release yet">
                Build and sign one with offline keys, then publish it:
                <div style={{ marginTop: 12 }}>
                  <CopyText text={`vautn firmware publish --tenant ${tenant} --help`} />
                </div>
              </EmptyState>
            ) : (
              <DataTable
                caption="Releases"
                rows={items}
                rowId={(release) => release.id}
                detail={(release) =>
                  release.id === openId ? (
                    <ReleaseDetail release={release} releases={items} />
                  ) : undefined
                }
                columns={[
                  {
                    id: "open",
                    header: "",
                    width: 40,
                    cell: (release) => {
                      const open = release.id === openId;
                      return (
                        <ActionIcon
                          variant="subtle"
                          color="gray"
                          aria-expanded={open}
                          aria-label={`Details of ${release.product} ${release.version}`}
                          onClick={() => setOpenId(open ? undefined : release.id)}
                        >
                          {open ? <IconChevronDown size={16} /> : <IconChevronRight size={16} />}
                        </ActionIcon>
                      );
                    },
                  },
                  {
                    id: "version",
                    header: "Release",
                    cell: (release) => (
                      <>
                        <Text size="sm" fw={600} className="mono">
                          {release.version}
                        </Text>
                        <Text size="xs" c="dimmed">
                          {release.product}
                        </Text>
                      </>
                    ),
                  },
                  { id: "status", header: "Status", cell: (it) => <ReleaseStatus release={it} /> },
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
            )
          }
        </Loaded>
      </Paper>
      <PublishDialog opened={publishing} onClose={publish.close} />
    </Page>
  );
}

function ReleaseStatus({ release }: { release: ReleaseView }) {
  return release.status === "yanked" ? (
    <ToneBadge tone="bad" label="Withdrawn" />
  ) : (
    <ToneBadge tone="ok" label="Published" />
  );
}
