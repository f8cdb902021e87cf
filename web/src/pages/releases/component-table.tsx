import { Group, Text } from "@mantine/core";
import type { ComponentView } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { Link } from "../../components/link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { StandingBadge } from "./channel-badge.tsx";

interface ComponentTableProps {
  components: readonly ComponentView[];
  /** All of them are inside the release that is looked at. */
  inRelease: boolean;
}

export function ComponentTable({ components, inRelease }: ComponentTableProps) {
  const tenant = useTenantId();
  // Two of a name and a version can be inside one release: their place tells them apart.
  const places = new Map(components.map((component, index) => [component, index]));
  const columns: Column<ComponentView>[] = [
    {
      id: "name",
      header: "Component",
      cell: ({ name }) => (
        <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }}>
          {name}
        </Text>
      ),
    },
    {
      id: "version",
      header: "Version",
      cell: ({ version }) =>
        version === null ? (
          <Text size="sm" c="dimmed">
            unknown
          </Text>
        ) : (
          <span className="mono">{version}</span>
        ),
    },
    ...(inRelease ? [] : [releaseColumn(tenant)]),
    {
      id: "license",
      header: "Licence",
      visibleFrom: "sm",
      cell: ({ license }) => license ?? <Text c="dimmed">–</Text>,
    },
    {
      id: "purl",
      header: "Package URL",
      visibleFrom: "md",
      width: "34%",
      cell: ({ purl }) =>
        purl === null ? <Text c="dimmed">–</Text> : <CopyText text={purl} shown={purl} />,
    },
  ];
  return (
    <DataTable
      caption="Components"
      rows={components}
      rowId={(component) => String(places.get(component))}
      columns={columns}
    />
  );
}

function releaseColumn(tenant: string): Column<ComponentView> {
  return {
    id: "release",
    header: "Inside",
    cell: ({ release }) => (
      <Group gap="xs">
        <Link to="/t/$tenant/releases/$release" params={{ tenant, release: release.id }}>
          {release.product} <span className="mono">{release.version}</span>
        </Link>
        <StandingBadge release={release} />
      </Group>
    ),
  };
}
