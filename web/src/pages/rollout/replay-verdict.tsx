import { Button, Text } from "@mantine/core";
import { useMutation } from "@tanstack/react-query";
import { ApiError, api } from "../../api/index.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

/** Has the gate judge again on what it saw then, and says whether the same comes out. */
export function ReplayVerdict({ rollout, seq }: { rollout: string; seq: number }) {
  const tenant = useTenantId();
  const replay = useMutation({ mutationFn: () => api.replayVerdict(tenant, rollout, seq) });
  if (replay.data) {
    const { agrees, replayed } = replay.data;
    return (
      <Text size="xs" role="status" c={agrees ? "var(--vautn-ok-text)" : "var(--vautn-bad-text)"}>
        {agrees
          ? "Judged again: the same, to the last number"
          : `Judged again: ${replayed.decision} by ${replayed.rule}: ${replayed.sentence}`}
      </Text>
    );
  }
  if (replay.error) {
    const isOther = replay.error instanceof ApiError && replay.error.code === "not-found";
    return (
      <Text size="xs" role="status" c="dimmed">
        {isOther
          ? "No figures were judged here: there is nothing to judge again"
          : replay.error.message}
      </Text>
    );
  }
  return (
    <Button
      size="compact-xs"
      variant="subtle"
      ml={-8}
      loading={replay.isPending}
      aria-label={`Judge verdict ${seq} again`}
      onClick={() => replay.mutate()}
    >
      Judge again
    </Button>
  );
}
