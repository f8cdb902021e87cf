import { Paper, Text } from "@mantine/core";
import { IconUserCheck } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type Knock, knocksQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { CopyText } from "../../components/copy-text.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatNumber, humanize, plural } from "../../components/format.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import type { Tone } from "../../theme/tones.ts";

/** The platform's reasons in the words of somebody who looks for a cause. */
const REASONS: Record<string, string> = {
  "foreign-ca": "Another authority",
  unknown: "Never issued",
  malformed: "No valid name",
  "wrong-usage": "Not a client's",
};

/** Time heals these; the others should not have been shown at all. */
const MILD = ["expired", "not-yet-valid", "suspended"];

export function KnockTable() {
  const tenant = useTenantId();
  const pages = useCursors("knocks");
  const knocks = useQuery(knocksQuery(tenant, pages.cursor));
  return (
    <Paper style={{ overflow: "hidden" }}>
      <Loaded query={knocks}>
        {({ items, nextCursor }) =>
          items.length === 0 ? (
            <EmptyState icon={IconUserCheck} title="Nobody was turned away">
              Certificates that were shown in this tenant's name and not accepted: of another
              authority, revoked, ended, or never issued.
            </EmptyState>
          ) : (
            <>
              <DataTable
                caption="Refused certificates"
                rows={items}
                rowId={(knock) => knock.fingerprint}
                columns={[
                  { id: "subject", header: "Certificate", cell: (knock) => <Who knock={knock} /> },
                  {
                    id: "reason",
                    header: "Why",
                    cell: (knock) => (
                      <ToneBadge
                        tone={toneOf(knock)}
                        label={REASONS[knock.reason] ?? humanize(knock.reason)}
                      />
                    ),
                  },
                  {
                    id: "count",
                    header: "Times",
                    align: "right",
                    visibleFrom: "xs",
                    cell: (knock) => formatNumber(knock.count),
                  },
                  {
                    id: "address",
                    header: "From",
                    visibleFrom: "sm",
                    cell: (knock) => <span className="mono">{knock.address ?? "–"}</span>,
                  },
                  {
                    id: "first",
                    header: "First",
                    visibleFrom: "md",
                    cell: (knock) => <TimeAgo time={knock.firstSeenAt} />,
                  },
                  { id: "last", header: "Last", cell: (it) => <TimeAgo time={it.lastSeenAt} /> },
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

function Who({ knock }: { knock: Knock }) {
  return (
    <>
      <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }} title={knock.subject}>
        {knock.deviceId ?? (knock.subject || "without a name")}
      </Text>
      <Text size="xs" c="dimmed" component="div">
        <Text span inherit visibleFrom="sm">
          by {knock.issuer || "nobody"} ·{" "}
        </Text>
        <CopyText text={knock.fingerprint} shown={knock.fingerprint.slice(0, 12)} />
      </Text>
    </>
  );
}

function toneOf(knock: Knock): Tone {
  return MILD.includes(knock.reason) ? "late" : "bad";
}
