import { Button, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import {
  api,
  type CommandBatchView,
  commandBatchesKey,
  commandBatchQuery,
} from "../../api/index.ts";
import { formatNumber } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { Page, Panel } from "../../components/page.tsx";
import { BarLegend, StackedBar } from "../../components/stacked-bar.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { barOfBatch, paceText, targetText } from "./batch-bar.ts";
import { BatchDevices } from "./batch-devices.tsx";
import { BatchStateBadge } from "./batches-page.tsx";

/** One command to many devices: how far it is, which device is where, and its reins. */
export function BatchPage() {
  const tenant = useTenantId();
  const { batch: id } = useParams({ from: "/signed-in/t/$tenant/commands/$batch" });
  const batch = useQuery(commandBatchQuery(tenant, id));
  return <Loaded query={batch}>{(found) => <Shown tenant={tenant} batch={found} />}</Loaded>;
}

function Shown({ tenant, batch }: { tenant: string; batch: CommandBatchView }) {
  const parts = barOfBatch(batch);
  const trace = batch.traceparent?.split("-")[1];
  return (
    <Page
      title={batch.name}
      aside={<BatchStateBadge state={batch.state} />}
      parent={{ label: "Commands", to: `/t/${tenant}/commands` }}
      actions={<Reins tenant={tenant} batch={batch} />}
      description={
        <>
          For {targetText(batch)}, {paceText(batch)}; sent <TimeAgo time={batch.createdAt} /> by{" "}
          {batch.createdBy}
          {trace && (
            <>
              {" · "}
              <Link to="/t/$tenant/traces/$trace" params={{ tenant, trace }}>
                trace
              </Link>
            </>
          )}
        </>
      }
    >
      <Panel title={`${formatNumber(batch.devices)} devices`}>
        <StackedBar label="Devices by state" parts={parts} height={14} />
        <Text component="div" mt="sm">
          <BarLegend parts={parts} />
        </Text>
      </Panel>
      <BatchDevices tenant={tenant} batch={batch} />
    </Page>
  );
}

const REINS = [
  { verb: "pause", label: "Pause", done: "Nothing more is delivered", states: ["running"] },
  { verb: "resume", label: "Resume", done: "It goes on", states: ["paused"] },
  {
    verb: "cancel",
    label: "Cancel the rest",
    done: "What was not delivered is cancelled",
    states: ["running", "paused"],
  },
] as const;

function Reins({ tenant, batch }: { tenant: string; batch: CommandBatchView }) {
  const may = useMay();
  const steer = useAction({
    run: (rein: (typeof REINS)[number]) => api.steerCommandBatch(tenant, batch.id, rein.verb),
    done: (_batch, { done }) => done,
    refresh: commandBatchesKey(tenant),
  });
  if (!may("operate")) return null;
  return REINS.filter(({ states }) => (states as readonly string[]).includes(batch.state)).map(
    (rein) => (
      <Button
        key={rein.verb}
        variant="default"
        loading={steer.isPending}
        onClick={() => steer.mutate(rein)}
      >
        {rein.label}
      </Button>
    ),
  );
}
