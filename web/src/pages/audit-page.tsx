import { Alert, Button, Paper, Text } from "@mantine/core";
import { IconChecklist, IconLock, IconShieldCheck, IconShieldX } from "@tabler/icons-react";
import { useMutation, useQuery } from "@tanstack/react-query";
import { type AuditEntry, type AuditProof, api, auditQuery } from "../api/index.ts";
import { ToneBadge } from "../components/badges.tsx";
import { CursorPager, useCursors } from "../components/cursor-pager.tsx";
import { DataTable } from "../components/data-table.tsx";
import { formatNumber } from "../components/format.ts";
import { Link } from "../components/link.tsx";
import { Page } from "../components/page.tsx";
import { EmptyState, ErrorState, Loaded } from "../components/states.tsx";
import { TimeAgo } from "../components/time-ago.tsx";
import { useMay, useTenantId } from "../shell/use-tenant.ts";

const MAX_DETAIL = 120;

/** Who did what; each entry carries the hash of the one before. */
export function AuditPage() {
  const may = useMay();
  if (may("audit")) return <AuditLog />;
  return (
    <Page title="Audit">
      <EmptyState icon={IconLock} title="For auditors and administrators">
        Who did what in this tenant is theirs to read. An administrator gives you the role.
      </EmptyState>
    </Page>
  );
}

function AuditLog() {
  const tenant = useTenantId();
  const pages = useCursors(tenant);
  const entries = useQuery(auditQuery(tenant, pages.cursor));
  const verify = useMutation({ mutationFn: () => api.verifyAudit(tenant) });
  return (
    <Page
      title="Audit"
      actions={
        <Button
          variant="default"
          leftSection={<IconShieldCheck size={16} aria-hidden />}
          loading={verify.isPending}
          onClick={() => verify.mutate()}
        >
          Verify the chain
        </Button>
      }
    >
      {verify.error && <ErrorState error={verify.error} />}
      {verify.data && <Proof proof={verify.data} />}
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={entries}>
          {({ items, nextCursor }) =>
            items.length === 0 ? (
              <EmptyState icon={IconChecklist} title="Nothing has been done yet">
                Every write to this tenant is recorded here.
              </EmptyState>
            ) : (
              <>
                <DataTable
                  caption="Audit log"
                  rows={items}
                  rowId={(entry) => String(entry.seq)}
                  columns={[
                    {
                      id: "seq",
                      header: "#",
                      width: 60,
                      visibleFrom: "sm",
                      cell: (entry) => (
                        <Text span inherit c="dimmed">
                          {entry.seq}
                        </Text>
                      ),
                    },
                    {
                      id: "at",
                      header: "When",
                      visibleFrom: "sm",
                      cell: (entry) => <TimeAgo time={entry.at} />,
                    },
                    {
                      id: "who",
                      header: "Who",
                      width: 190,
                      cell: (entry) => (
                        <>
                          <span style={{ overflowWrap: "anywhere" }}>{entry.actor.name}</span>
                          <Text size="xs" c="dimmed">
                            {entry.actor.kind}
                            {entry.address && ` from ${entry.address}`}
                          </Text>
                          <Text size="xs" c="dimmed" hiddenFrom="sm">
                            <TimeAgo time={entry.at} />
                          </Text>
                        </>
                      ),
                    },
                    { id: "what", header: "What", cell: (entry) => <What entry={entry} /> },
                    {
                      id: "outcome",
                      header: "Outcome",
                      visibleFrom: "sm",
                      cell: ({ outcome }) => (
                        <ToneBadge tone={outcome === "done" ? "ok" : "bad"} label={outcome} />
                      ),
                    },
                    {
                      id: "details",
                      header: "Details",
                      visibleFrom: "lg",
                      cell: (entry) => <Details entry={entry} tenant={tenant} />,
                    },
                  ]}
                />
                <CursorPager
                  pages={pages}
                  nextCursor={nextCursor}
                  summary={`${items.length} entries`}
                />
              </>
            )
          }
        </Loaded>
      </Paper>
    </Page>
  );
}

function What({ entry }: { entry: AuditEntry }) {
  return (
    <>
      <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }}>
        {entry.action}
      </Text>
      <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
        {entry.targetKind} {entry.targetId}
      </Text>
      {entry.outcome === "refused" && (
        <Text
          size="xs"
          c="var(--vautn-bad-text)"
          hiddenFrom="lg"
          style={{ overflowWrap: "anywhere" }}
        >
          refused:{" "}
          {shorten(entry.details.message ?? entry.details.reason ?? entry.details.code ?? "")}
        </Text>
      )}
    </>
  );
}

function Details({ entry, tenant }: { entry: AuditEntry; tenant: string }) {
  return (
    <>
      {linesOf(entry.details).map(({ name, before, value }) => (
        <Text key={name} size="xs" style={{ overflowWrap: "anywhere" }}>
          <Text span inherit c="dimmed">
            {name}{" "}
          </Text>
          {before !== undefined && (
            <>
              <Text span inherit c="dimmed" td="line-through">
                {shorten(before)}
              </Text>
              {" → "}
            </>
          )}
          {shorten(value)}
        </Text>
      ))}
      {entry.traceId && (
        <Text size="xs">
          <Link to="/t/$tenant/traces/$trace" params={{ tenant, trace: entry.traceId }}>
            trace
          </Link>
        </Text>
      )}
    </>
  );
}

interface DetailLine {
  name: string;
  /** What stood there before a change; absent where nothing did. */
  before?: unknown;
  value: unknown;
}

/** A line for each detail, and of a change one for each thing that is no longer the same. */
function linesOf(details: AuditEntry["details"]): DetailLine[] {
  const { before, after, ...others } = details;
  const lines: DetailLine[] = Object.entries(others).map(([name, value]) => ({ name, value }));
  if (!isObject(before) || !isObject(after)) {
    const plain = Object.entries({ before, after }).filter(([, value]) => value !== undefined);
    return [...lines, ...plain.map(([name, value]) => ({ name, value }))];
  }
  const changes = Object.entries(after).map(([name, value]) => ({
    ...{ name, value },
    ...(before[name] === null || before[name] === undefined ? {} : { before: before[name] }),
  }));
  return [...lines, ...changes];
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function shorten(value: unknown): string {
  if (value === null || value === undefined) return "nothing";
  const text = typeof value === "string" ? value : JSON.stringify(value);
  return text.length > MAX_DETAIL ? `${text.slice(0, MAX_DETAIL)}…` : text;
}

function Proof({ proof }: { proof: AuditProof }) {
  return proof.intact ? (
    <Alert
      color="moss"
      icon={<IconShieldCheck aria-hidden />}
      title="The chain is intact"
      role="status"
    >
      All {formatNumber(proof.entries)} entries carry the hash of the one before them.{" "}
      {proof.signed ? (
        <>
          The platform has signed them up to entry {proof.signed.seq},{" "}
          <TimeAgo time={proof.signed.at} />.
        </>
      ) : (
        "The platform signs them every hour, and has not yet."
      )}
      {proof.forgottenUpTo !== undefined &&
        ` Those up to entry ${proof.forgottenUpTo} were deleted when they had the age that the settings say.`}
    </Alert>
  ) : (
    <Alert
      color="ember"
      icon={<IconShieldX aria-hidden />}
      title="The chain is broken"
      role="alert"
    >
      Entry {proof.firstBroken ?? "?"} does not fit{proof.reason && ` (${proof.reason})`}. Somebody
      changed the log in the database. Compare it with a backup.
    </Alert>
  );
}
