import { Stack, Text } from "@mantine/core";
import { IconCertificate2, IconListCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import {
  preauthorisedQuery,
  type RegisteredAuthority,
  registeredAuthoritiesQuery,
} from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatNumber, humanize, plural } from "../../components/format.ts";
import { Panel } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";
import { ClaimTokens } from "../settings/claim-tokens.tsx";

const TONES: Record<RegisteredAuthority["status"], Tone> = {
  active: "ok",
  unproved: "late",
  disabled: "idle",
};

/** How devices come by their first certificate: claims, the list of expected ones, own authorities. */
export function WaysIn() {
  return (
    <Stack gap="lg">
      <ClaimTokens />
      <RegisteredAuthorities />
      <Preauthorised />
    </Stack>
  );
}

function RegisteredAuthorities() {
  const authorities = useQuery(registeredAuthoritiesQuery(useTenantId()));
  return (
    <Panel title="Your own authorities">
      <Loaded query={authorities}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconCertificate2} title="No authority of your own">
              Devices that left the factory with a certificate can come with it: register its
              authority with <code>vautn authority register</code> and prove that you hold its key.
            </EmptyState>
          ) : (
            <DataTable
              caption="Registered authorities"
              rows={items}
              rowId={({ id }) => id}
              columns={[
                {
                  id: "name",
                  header: "Authority",
                  cell: (one) => (
                    <>
                      <Text size="sm" fw={550}>
                        {one.name}
                      </Text>
                      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                        {one.subject}
                      </Text>
                    </>
                  ),
                },
                {
                  id: "status",
                  header: "State",
                  cell: (one) => (
                    <ToneBadge tone={TONES[one.status]} label={humanize(one.status)} />
                  ),
                },
                {
                  id: "mapping",
                  header: "Names devices by",
                  visibleFrom: "md",
                  cell: (one) =>
                    one.purpose === "claims" ? (
                      "proves claims"
                    ) : (
                      <code>{one.mapping.template}</code>
                    ),
                },
                {
                  id: "for",
                  header: "For",
                  visibleFrom: "sm",
                  cell: (one) => `${one.product} ${one.hardwareRevision}`,
                },
                {
                  id: "devices",
                  header: "Devices",
                  align: "right",
                  cell: (one) =>
                    `${formatNumber(one.deviceCount)} of ${formatNumber(one.maxDevices)}`,
                },
                {
                  id: "ends",
                  header: "Ends",
                  visibleFrom: "sm",
                  cell: (one) => <TimeAgo time={one.notAfter} />,
                },
              ]}
            />
          )
        }
      </Loaded>
    </Panel>
  );
}

function Preauthorised() {
  const pages = useCursors("preauthorised");
  const expected = useQuery(preauthorisedQuery(useTenantId(), pages.cursor));
  return (
    <Panel title="Expected devices">
      <Loaded query={expected}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconListCheck} title="No device is expected by name">
              List the devices of a batch with <code>vautn preauthorised add --csv FILE</code>:
              claims with the approval <i>preauthorised</i> let in nobody else, and a listed key
              needs no other proof.
            </EmptyState>
          ) : (
            <>
              <DataTable
                caption="Expected devices"
                rows={items}
                rowId={({ deviceId }) => deviceId}
                columns={[
                  { id: "device", header: "Device", cell: (one) => one.deviceId },
                  {
                    id: "for",
                    header: "As",
                    visibleFrom: "sm",
                    cell: (one) =>
                      [one.product, one.hardwareRevision].filter(Boolean).join(" ") || "–",
                  },
                  {
                    id: "proof",
                    header: "Has to show",
                    cell: (one) => proofOf(one.serialNumber, one.publicKeySha256),
                  },
                  {
                    id: "enrolled",
                    header: "Enrolled",
                    visibleFrom: "xs",
                    cell: (one) => (one.enrolledAt ? <TimeAgo time={one.enrolledAt} /> : "not yet"),
                  },
                ]}
              />
              <CursorPager
                pages={pages}
                nextCursor={nextCursor}
                summary={plural(items.length, "device")}
              />
            </>
          )
        }
      </Loaded>
    </Panel>
  );
}

function proofOf(serialNumber: string | null, publicKeySha256: string | null): string {
  const proofs = [
    ...(serialNumber ? [`serial ${serialNumber}`] : []),
    ...(publicKeySha256 ? [`key ${publicKeySha256.slice(0, 16)}…`] : []),
  ];
  return proofs.join(", ") || "its id";
}
