import { Button, Group, Stack, Text } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { breakGlassQuery, tenantQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { Link } from "../../components/link.tsx";
import { Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useIsPlatformAdministrator, useTenantId } from "../../shell/use-tenant.ts";

/** What the tenant owns: who of the platform has looked at it, a copy of it, its end. */
export function TenantData() {
  const tenant = useTenantId();
  return (
    <Stack>
      <Export tenant={tenant} />
      <Entries tenant={tenant} />
      <End tenant={tenant} />
    </Stack>
  );
}

function Export({ tenant }: { tenant: string }) {
  return (
    <Panel title="Export">
      <Group justify="space-between" align="flex-start">
        <Text size="sm" c="dimmed" maw={640}>
          Everything that {tenant} owns as one tar archive: every table as JSON Lines, measurements,
          log lines, traces and artifacts, with the size and hash of each file in manifest.json at
          the end. Secrets are not in it. A large tenant takes a while; the command line also
          compares every hash: <code>vautn tenant export FILE</code>.
        </Text>
        <Button
          component="a"
          href={`/api/v1/tenants/${encodeURIComponent(tenant)}/export`}
          download={`${tenant}.tar`}
          variant="default"
          leftSection={<IconDownload size={16} aria-hidden />}
        >
          Download the archive
        </Button>
      </Group>
    </Panel>
  );
}

/** When somebody of the platform was let into the tenant's data, and why. */
function Entries({ tenant }: { tenant: string }) {
  const entries = useQuery(breakGlassQuery(tenant));
  return (
    <Panel title="Entries of the platform's operators" flush>
      <Loaded query={entries}>
        {({ items }) =>
          items.length === 0 ? (
            <Text size="sm" c="dimmed" px="md" pb="md">
              Nobody of the platform has broken the glass to look at this tenant&rsquo;s data.
            </Text>
          ) : (
            <DataTable
              caption="Entries of the platform's operators"
              rows={items}
              rowId={(entry) => entry.id}
              columns={[
                { id: "by", header: "Who", cell: (entry) => entry.by },
                { id: "reason", header: "Why", cell: (entry) => entry.reason },
                { id: "role", header: "As", visibleFrom: "sm", cell: (entry) => entry.role },
                {
                  id: "opened",
                  header: "When",
                  cell: (entry) => <TimeAgo time={entry.openedAt} />,
                },
                {
                  id: "state",
                  header: "State",
                  cell: ({ endedAt, expiresAt }) =>
                    endedAt || Date.parse(expiresAt) < Date.now() ? (
                      <ToneBadge tone="idle" label="Over" />
                    ) : (
                      <ToneBadge tone="late" label="Inside now" />
                    ),
                },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}

function End({ tenant }: { tenant: string }) {
  const loaded = useQuery(tenantQuery(tenant));
  const isAdministrator = useIsPlatformAdministrator();
  return (
    <Loaded query={loaded}>
      {({ deletesAt }) => (
        <Panel title="Deletion">
          <Text size="sm" c="dimmed" maw={640}>
            {deletesAt ? (
              <>
                Everything of this tenant is deleted <TimeAgo time={deletesAt} />. Until then an
                administrator of the platform can restore it.
              </>
            ) : (
              "Suspended at once and deleted after a grace, with a signed receipt of what was removed and that nothing is left."
            )}{" "}
            {isAdministrator ? (
              <Link underline="always" to="/t/$tenant/platform" params={{ tenant }}>
                Tenants of the platform
              </Link>
            ) : (
              "Administrators of the platform delete and restore tenants."
            )}
          </Text>
        </Panel>
      )}
    </Loaded>
  );
}
