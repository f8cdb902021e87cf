import { Button, Text } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import {
  api,
  type CommandBatchView,
  commandBatchesKey,
  commandBatchQuery,
} from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
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
] as const;
const CANCEL = { verb: "cancel", done: "What was not delivered is cancelled" } as const;
const CANCELLABLE = ["running", "paused"];

function Reins({ tenant, batch }: { tenant: string; batch: CommandBatchView }) {
  const may = useMay();
  const [asking, ask] = useDisclosure(false);
  const steer = useAction({
    run: ({ verb }: (typeof REINS)[number] | typeof CANCEL) =>
      api.steerCommandBatch(tenant, batch.id, verb),
    done: (_batch, { done }) => done,
    refresh: commandBatchesKey(tenant),
    onDone: ask.close,
  });
  if (!may("operate")) return null;
  const reins = REINS.filter(({ states }) => (states as readonly string[]).includes(batch.state));
  const left = (batch.counts.waiting ?? 0) + (batch.counts.queued ?? 0);
  return (
    <>
      {reins.map((rein) => (
        <Button
          key={rein.verb}
          variant="default"
          loading={steer.isPending}
          onClick={() => steer.mutate(rein)}
        >
          {rein.label}
        </Button>
      ))}
      {CANCELLABLE.includes(batch.state) && (
        <Button variant="default" onClick={ask.open}>
          Cancel the rest
        </Button>
      )}
      <Confirm
        opened={asking}
        title={`Cancel the rest of ${batch.name}?`}
        confirmLabel="Cancel the rest"
        destructive
        busy={steer.isPending}
        onConfirm={() => steer.mutate(CANCEL)}
        onClose={ask.close}
      >
        <Text>
          {left === 1 ? "1 device that has" : `${formatNumber(left)} devices that have`} not been
          given it will never get it. What devices hold goes on.
        </Text>
      </Confirm>
    </>
  );
}
