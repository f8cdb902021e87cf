import { Group, Paper, SegmentedControl } from "@mantine/core";
import { IconCertificate } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { allCertificatesQuery, type CertificateView } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { plural } from "../../components/format.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { DeviceLink } from "../../shell/device-link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { CertificateState } from "./certificate-state.tsx";
import { Filters } from "./filters.tsx";

const STATUSES = [
  { value: "any", label: "All" },
  { value: "active", label: "In force" },
  { value: "held", label: "On hold" },
  { value: "revoked", label: "Revoked" },
];

export function CertificateTable() {
  const tenant = useTenantId();
  const search = useSearch({ from: "/signed-in/t/$tenant/certificates" });
  const navigate = useNavigate({ from: "/t/$tenant/certificates" });
  const { status, algorithm, after, before } = search;
  const pages = useCursors(JSON.stringify(search));
  const input = {
    ...{ algorithm, expiresAfter: after, expiresBefore: before, cursor: pages.cursor },
    status: status as CertificateView["status"] | undefined,
  };
  const certificates = useQuery(allCertificatesQuery(tenant, input));
  return (
    <Paper style={{ overflow: "hidden" }}>
      <Group p="md" gap="sm">
        <SegmentedControl
          aria-label="Status"
          size="xs"
          data={STATUSES}
          value={status ?? "any"}
          onChange={(next) =>
            void navigate({ search: { ...search, status: next === "any" ? undefined : next } })
          }
        />
        <Filters
          filters={{ algorithm, after, before }}
          onClear={(name) => void navigate({ search: { ...search, [name]: undefined } })}
        />
      </Group>
      <Loaded query={certificates}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconCertificate} title="No certificate matches">
              Choose another status, or clear what the list is narrowed to.
            </EmptyState>
          ) : (
            <>
              <DataTable
                caption="Certificates"
                rows={items}
                rowId={(certificate) => certificate.serial}
                columns={[
                  {
                    id: "device",
                    header: "Device",
                    cell: ({ deviceId }) => <DeviceLink deviceId={deviceId} tab="certificates" />,
                  },
                  {
                    id: "state",
                    header: "State",
                    cell: (it) => <CertificateState certificate={it} />,
                  },
                  { id: "to", header: "Ends", cell: (it) => <TimeAgo time={it.notAfter} /> },
                  {
                    id: "key",
                    header: "Key",
                    visibleFrom: "sm",
                    cell: (it) => <span className="mono">{it.keyAlgorithm ?? "–"}</span>,
                  },
                  {
                    id: "used",
                    header: "First used",
                    visibleFrom: "md",
                    cell: (it) => <TimeAgo time={it.firstUsedAt} fallback="never" />,
                  },
                  {
                    id: "serial",
                    header: "Serial number",
                    visibleFrom: "md",
                    cell: ({ serial }) => <CopyText text={serial} shown={serial.slice(0, 16)} />,
                  },
                ]}
              />
              <CursorPager
                pages={pages}
                nextCursor={nextCursor}
                summary={plural(items.length, "certificate")}
              />
            </>
          )
        }
      </Loaded>
    </Paper>
  );
}
