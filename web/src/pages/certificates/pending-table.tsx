import { Checkbox, Group, Paper, SegmentedControl, Stack, Text } from "@mantine/core";
import { IconUserQuestion } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import {
  type PendingEnrolment,
  type PendingStatus,
  pendingEnrolmentsQuery,
} from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { type Column, DataTable } from "../../components/data-table.tsx";
import { formatNumber } from "../../components/format.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { DecideButtons } from "./decide-buttons.tsx";

const STATES: { value: PendingStatus; label: string }[] = [
  { value: "pending", label: "Waiting" },
  { value: "accepted", label: "Accepted" },
  { value: "rejected", label: "Refused" },
];

const EMPTY: Record<PendingStatus, { title: string; text: string }> = {
  pending: {
    title: "Nobody waits",
    text: "Devices whose claim or authority asks for a person's word, or whose webhook could not say, stand here until somebody lets them in or turns them away.",
  },
  accepted: {
    title: "Nobody was let in by hand",
    text: "Accepted devices stand here for a month.",
  },
  rejected: {
    title: "Nobody was refused by hand",
    text: "Refused devices stand here for a month.",
  },
};

const CAUSES: Record<string, string> = {
  policy: "The policy asks for a person",
  webhook: "The webhook leaves it to a person",
  "webhook-failed": "The webhook gave no answer",
};

/** Devices that have proved their right to ask, and wait for a person. */
export function PendingTable() {
  const tenant = useTenantId();
  const may = useMay();
  const [status, setStatus] = useState<PendingStatus>("pending");
  const [chosen, setChosen] = useState<ReadonlySet<string>>(new Set());
  const enrolments = useQuery(pendingEnrolmentsQuery(tenant, status));
  const decides = status === "pending" && may("engineer");
  const items = enrolments.data?.items ?? [];
  const selected = items.filter(({ id }) => chosen.has(id));
  const toggle = (id: string) => {
    const next = new Set(chosen);
    if (!next.delete(id)) next.add(id);
    setChosen(next);
  };
  const choice: Column<PendingEnrolment> = {
    id: "choose",
    header: "",
    width: 36,
    cell: (one) => (
      <Checkbox
        size="xs"
        aria-label={`Choose ${one.deviceId}`}
        checked={chosen.has(one.id)}
        onChange={() => toggle(one.id)}
      />
    ),
  };
  const decision: Column<PendingEnrolment> = {
    id: "decide",
    header: "",
    align: "right",
    cell: (one) => <DecideButtons enrolments={[one]} compact onDone={() => setChosen(new Set())} />,
  };
  return (
    <Stack>
      <Group justify="space-between">
        <SegmentedControl
          data={STATES}
          value={status}
          onChange={(next) => setStatus(next as PendingStatus)}
        />
        {decides && items.length > 0 && (
          <Group gap="sm">
            <Checkbox
              size="xs"
              label={selected.length > 0 ? `${formatNumber(selected.length)} chosen` : "Choose all"}
              checked={selected.length === items.length}
              indeterminate={selected.length > 0 && selected.length < items.length}
              onChange={({ currentTarget: { checked } }) =>
                setChosen(new Set(checked ? items.map(({ id }) => id) : []))
              }
            />
            {selected.length > 0 && (
              <DecideButtons enrolments={selected} onDone={() => setChosen(new Set())} />
            )}
          </Group>
        )}
      </Group>
      <Paper style={{ overflow: "hidden" }}>
        <Loaded query={enrolments}>
          {() =>
            items.length === 0 ? (
              <EmptyState icon={IconUserQuestion} title={EMPTY[status].title}>
                {EMPTY[status].text}
              </EmptyState>
            ) : (
              <DataTable
                caption="Enrolments for a person to decide"
                rows={items}
                rowId={({ id }) => id}
                columns={[
                  ...(decides ? [choice] : []),
                  ...FACTS,
                  ...(decides ? [decision] : [DECIDED]),
                ]}
              />
            )
          }
        </Loaded>
      </Paper>
    </Stack>
  );
}

const FACTS: Column<PendingEnrolment>[] = [
  {
    id: "device",
    header: "Device and key",
    cell: (one) => (
      <>
        <Text size="sm" fw={550} style={{ overflowWrap: "anywhere" }}>
          {one.deviceId}
        </Text>
        <Text size="xs" c="dimmed" component="div" title="SHA-256 of the public key">
          <CopyText text={one.publicKeySha256} shown={`key ${one.publicKeySha256.slice(0, 16)}`} />
        </Text>
      </>
    ),
  },
  {
    id: "for",
    header: "As",
    visibleFrom: "md",
    cell: (one) => `${one.product} ${one.hardwareRevision}`,
  },
  {
    id: "by",
    header: "Knocked with",
    visibleFrom: "sm",
    cell: (one) => (
      <>
        <Text size="sm">{one.authorityName}</Text>
        <Text size="xs" c="dimmed">
          {one.authority} · {one.via}
        </Text>
      </>
    ),
  },
  {
    id: "why",
    header: "Why it waits",
    visibleFrom: "lg",
    cell: (one) => CAUSES[one.cause] ?? one.cause,
  },
  {
    id: "address",
    header: "From",
    visibleFrom: "md",
    cell: (one) => <span className="mono">{one.address ?? "–"}</span>,
  },
  {
    id: "asked",
    header: "Asked",
    visibleFrom: "xs",
    cell: (one) => (
      <>
        <TimeAgo time={one.requestedAt} />
        {one.lastAskedAt !== one.requestedAt && (
          <Text size="xs" c="dimmed" component="div">
            again <TimeAgo time={one.lastAskedAt} />
          </Text>
        )}
      </>
    ),
  },
];

const DECIDED: Column<PendingEnrolment> = {
  id: "decided",
  header: "Decided",
  cell: (one) =>
    one.decidedAt ? (
      <>
        <TimeAgo time={one.decidedAt} /> by {one.decidedBy}
        {one.decisionReason && (
          <Text size="xs" c="dimmed">
            {one.decisionReason}
          </Text>
        )}
      </>
    ) : (
      "–"
    ),
};
