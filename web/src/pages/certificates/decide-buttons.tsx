import { Button, Group, Stack, Text, TextInput } from "@mantine/core";
import { IconCheck, IconX } from "@tabler/icons-react";
import { useState } from "react";
import { api, type PendingEnrolment } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { plural } from "../../components/format.ts";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

interface DecideButtonsProps {
  enrolments: readonly PendingEnrolment[];
  compact?: boolean;
  onDone: () => void;
}

/** How many decisions are on their way at a time. */
const AT_ONCE = 8;
const SHOWN = 6;

/** Lets in, or turns away, one device or many; asks before either. */
export function DecideButtons({ enrolments, compact, onDone }: DecideButtonsProps) {
  const tenant = useTenantId();
  const [asking, setAsking] = useState<"accept" | "reject">();
  const [reason, setReason] = useState("");
  const decide = useAction({
    run: (what: "accept" | "reject") =>
      each(enrolments, ({ id }) =>
        what === "accept"
          ? api.acceptEnrolment(tenant, id)
          : api.rejectEnrolment(tenant, id, reason.trim()),
      ),
    done: ({ failed }, what) => {
      const done = plural(enrolments.length - failed, "device");
      const verb = what === "accept" ? "accepted: it asks again within a minute" : "refused";
      return failed > 0
        ? `${done} ${verb}; ${failed} had been decided meanwhile`
        : `${done} ${verb}`;
    },
    refresh: ["tenant", tenant, "certificates", "pending"],
    onDone: () => {
      setAsking(undefined);
      setReason("");
      onDone();
    },
  });
  const who =
    enrolments.length === 1 ? enrolments[0]?.deviceId : plural(enrolments.length, "device");
  const size = compact ? "compact-sm" : "sm";
  return (
    <Group gap="xs" wrap={compact ? "wrap" : "nowrap"} justify="flex-end">
      <Button
        size={size}
        variant="light"
        leftSection={<IconCheck size={14} aria-hidden />}
        onClick={() => setAsking("accept")}
      >
        Accept
      </Button>
      <Button
        size={size}
        variant="light"
        color="red"
        leftSection={<IconX size={14} aria-hidden />}
        onClick={() => setAsking("reject")}
      >
        Refuse
      </Button>
      <Confirm
        opened={asking === "accept"}
        onClose={() => setAsking(undefined)}
        title={`Accept ${who}?`}
        confirmLabel="Accept"
        busy={decide.isPending}
        onConfirm={() => decide.mutate("accept")}
      >
        <Stack gap="xs">
          <Text size="sm">
            Compare the key with what the device shows. It gets its certificate when it asks again;
            other keys that ask for the same id are refused.
          </Text>
          <Keys enrolments={enrolments} />
        </Stack>
      </Confirm>
      <Confirm
        opened={asking === "reject"}
        onClose={() => setAsking(undefined)}
        title={`Refuse ${who}?`}
        confirmLabel="Refuse"
        destructive
        busy={decide.isPending}
        disabled={!reason.trim()}
        onConfirm={() => decide.mutate("reject")}
      >
        <Keys enrolments={enrolments} />
        <TextInput
          label="Reason"
          description="The device is told, and the audit log keeps it"
          value={reason}
          onChange={({ currentTarget: { value } }) => setReason(value)}
        />
      </Confirm>
    </Group>
  );
}

function Keys({ enrolments }: { enrolments: readonly PendingEnrolment[] }) {
  return (
    <Stack gap={2}>
      {enrolments.slice(0, SHOWN).map(({ id, deviceId, publicKeySha256 }) => (
        <Text key={id} size="xs" style={{ overflowWrap: "anywhere" }}>
          <b>{deviceId}</b> <span className="mono">{publicKeySha256}</span>
        </Text>
      ))}
      {enrolments.length > SHOWN && (
        <Text size="xs" c="dimmed">
          and {plural(enrolments.length - SHOWN, "other device")}
        </Text>
      )}
    </Stack>
  );
}

/** Each for itself: one that somebody else has decided meanwhile holds up no other. */
async function each(
  enrolments: readonly PendingEnrolment[],
  work: (enrolment: PendingEnrolment) => Promise<unknown>,
): Promise<{ failed: number }> {
  let failed = 0;
  let first: unknown;
  for (let start = 0; start < enrolments.length; start += AT_ONCE) {
    const results = await Promise.allSettled(enrolments.slice(start, start + AT_ONCE).map(work));
    for (const result of results) {
      if (result.status === "fulfilled") continue;
      failed += 1;
      first ??= result.reason;
    }
  }
  if (failed === enrolments.length) throw first;
  return { failed };
}
