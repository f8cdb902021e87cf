import { Group, Paper, Text } from "@mantine/core";
import { IconTimeline } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useParams } from "@tanstack/react-router";
import { type Trace, traceQuery } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { formatDuration, formatExact, plural } from "../../components/format.ts";
import { Page } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { extentOf } from "./trace-rows.ts";
import { Waterfall } from "./waterfall.tsx";

/** A request's whole way, from the API through the platform to the device's log lines. */
export function TracePage() {
  const tenant = useTenantId();
  const { trace: id } = useParams({ from: "/signed-in/t/$tenant/traces/$trace" });
  const trace = useQuery(traceQuery(tenant, id));
  return (
    <Page
      title="Trace"
      parent={{ label: "Logs", to: `/t/${tenant}/logs` }}
      description={<CopyText text={id} />}
    >
      <Loaded query={trace}>
        {(view) =>
          view.spans.length + view.logs.length === 0 ? (
            <EmptyState icon={IconTimeline} title="Nothing is known of this trace">
              Spans arrive a few seconds after they end, and are kept for a limited time.
            </EmptyState>
          ) : (
            <Paper p="md">
              <Summary trace={view} />
              <Waterfall trace={view} />
            </Paper>
          )
        }
      </Loaded>
    </Page>
  );
}

function Summary({ trace }: { trace: Trace }) {
  const { start, end } = extentOf(trace);
  const services = new Set(trace.spans.map(({ service }) => service));
  return (
    <Group gap="lg" mb="md" fz="sm">
      <Text size="sm" fw={600}>
        {formatDuration(end - start)}
      </Text>
      <Text size="sm" c="dimmed">
        from {formatExact(start)}
      </Text>
      <Text size="sm" c="dimmed">
        {plural(trace.spans.length, "span")} in {plural(services.size, "service")},{" "}
        {plural(trace.logs.length, "log line")}
      </Text>
    </Group>
  );
}
