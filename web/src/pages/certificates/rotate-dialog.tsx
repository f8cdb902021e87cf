import { Group, NumberInput, Select, Text, Textarea } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useState } from "react";
import { api, groupsQuery } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { plural } from "../../components/format.ts";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

interface RotateDialogProps {
  opened: boolean;
  onClose: () => void;
  onStarted: () => void;
}

const ALL = "(every device)";
const QUERY = "(a fleet query)";

/** Asks for whom, and at what pace. */
export function RotateDialog({ opened, onClose, onStarted }: RotateDialogProps) {
  const tenant = useTenantId();
  const groups = useQuery({ ...groupsQuery(tenant), enabled: opened });
  const [target, setTarget] = useState(QUERY);
  const [text, setText] = useState("");
  const [concurrency, setConcurrency] = useState(50);
  const [minutes, setMinutes] = useState(60);
  const items = groups.data?.items ?? [];
  const query = queryOf(target, text, items);
  const start = useAction({
    run: () =>
      api.createCampaign(tenant, {
        ...{ query: query ?? "", concurrency, deadlineSeconds: minutes * 60 },
      }),
    done: (campaign) => `${plural(campaign.total, "device")} will rotate`,
    refresh: ["tenant", tenant, "certificates"],
    onDone: () => {
      onClose();
      onStarted();
    },
  });
  return (
    <Confirm
      opened={opened}
      onClose={onClose}
      title="Renew certificates now"
      confirmLabel="Begin"
      disabled={query === undefined}
      busy={start.isPending}
      onConfirm={() => start.mutate()}
    >
      <Text size="sm">
        Each device makes a new key, gets a certificate for it, tries it, and only then gives up the
        old one. Nobody loses the connection for longer than a reconnect.
      </Text>
      <Select
        label="Which devices"
        data={[QUERY, ALL, ...items.map((group) => group.name)]}
        value={target}
        allowDeselect={false}
        onChange={(next) => setTarget(next ?? QUERY)}
      />
      {target === QUERY && (
        <Textarea
          label="Fleet query"
          placeholder={'tags.site = "berlin"'}
          autosize
          value={text}
          onChange={(event) => setText(event.currentTarget.value)}
        />
      )}
      <Group grow>
        <NumberInput
          label="At a time"
          min={1}
          max={1_000}
          value={concurrency}
          onChange={(next) => setConcurrency(Number(next) || 1)}
        />
        <NumberInput
          label="Minutes for each"
          min={1}
          max={43_200}
          value={minutes}
          onChange={(next) => setMinutes(Number(next) || 1)}
        />
      </Group>
    </Confirm>
  );
}

/** The query that is meant; undefined while it is not said yet. */
function queryOf(
  target: string,
  text: string,
  groups: readonly { name: string; query: string }[],
): string | undefined {
  if (target === ALL) return "";
  if (target === QUERY) return text.trim() || undefined;
  return groups.find((group) => group.name === target)?.query;
}
