import { Alert, Button, Group, Text } from "@mantine/core";
import { IconHandStop } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, updateStopQuery } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";

/** The kill switch: a banner while it is on. */
export function UpdateStopBanner() {
  const tenant = useTenantId();
  const may = useMay();
  const { data } = useQuery(updateStopQuery(tenant));
  const allow = useAction({
    run: () => api.allowUpdates(tenant),
    done: () => "Updates begin again",
    refresh: ["tenant", tenant],
  });
  if (!data?.stop) return null;
  const { stoppedAt, stoppedBy, reason } = data.stop;
  return (
    <Alert color="red" mb="md" icon={<IconHandStop aria-hidden />} title="No update begins">
      <Group justify="space-between">
        <Text size="sm">
          {stoppedBy} stopped every update <TimeAgo time={stoppedAt} />
          {reason && `: ${reason}`}. Those on their way finish.
        </Text>
        {may("engineer") && (
          <Button
            size="xs"
            variant="white"
            loading={allow.isPending}
            onClick={() => allow.mutate()}
          >
            Let updates begin
          </Button>
        )}
      </Group>
    </Alert>
  );
}

/** Asks first: it is felt by every rollout of the tenant. */
export function StopUpdatesButton() {
  const tenant = useTenantId();
  const may = useMay();
  const [asked, setAsked] = useState(false);
  const { data } = useQuery(updateStopQuery(tenant));
  const stop = useAction({
    run: () => api.stopUpdates(tenant),
    done: () => "No update begins from now on",
    refresh: ["tenant", tenant],
    onDone: () => setAsked(false),
  });
  if (!may("operate") || data?.stop !== null) return null;
  return (
    <>
      <Button
        variant="default"
        leftSection={<IconHandStop size={16} aria-hidden />}
        onClick={() => setAsked(true)}
      >
        Stop all
      </Button>
      <Confirm
        opened={asked}
        title="Stop every update?"
        confirmLabel="Stop all updates"
        destructive
        busy={stop.isPending}
        onConfirm={() => stop.mutate()}
        onClose={() => setAsked(false)}
      >
        <Text size="sm">
          Nobody begins an update until you let them again, in whichever rollout. Devices that are
          on their way finish, and ways back stay open.
        </Text>
      </Confirm>
    </>
  );
}
