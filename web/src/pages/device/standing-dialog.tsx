import { Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { api } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

export type StandingChange = "quarantine" | "release" | "reinstate";

const TEXTS: Record<StandingChange, { title: string; text: string; label: string; done: string }> =
  {
    quarantine: {
      title: "Put in quarantine",
      text: "It stays connected, may renew its certificate and be updated. Its measurements, logs and results are refused, and no commands reach it.",
      label: "Put in quarantine",
      done: "is in quarantine",
    },
    release: {
      title: "Lift the quarantine of",
      text: "Its measurements are taken again, and the commands that have waited are delivered.",
      label: "Lift the quarantine",
      done: "is out of quarantine",
    },
    reinstate: {
      title: "Reinstate",
      text: "It may be enrolled anew. The certificates that were revoked stay revoked.",
      label: "Reinstate the device",
      done: "may enrol again",
    },
  };

interface StandingDialogProps {
  deviceId: string;
  /** Closed where there is none. */
  change: StandingChange | undefined;
  onClose: () => void;
}

/** Asks for the reason of a change that the audit log records. */
export function StandingDialog({ deviceId, change, onClose }: StandingDialogProps) {
  const tenant = useTenantId();
  const [reason, setReason] = useState("");
  const { title, text, label, done } = TEXTS[change ?? "quarantine"];
  const run = useAction({
    run: () => api.changeStanding(tenant, deviceId, change ?? "quarantine", reason.trim()),
    done: () => `${deviceId} ${done}`,
    refresh: ["tenant", tenant],
    onDone: () => {
      setReason("");
      onClose();
    },
  });
  return (
    <Confirm
      opened={change !== undefined}
      onClose={onClose}
      title={`${title} ${deviceId}?`}
      confirmLabel={label}
      disabled={!reason.trim()}
      busy={run.isPending}
      onConfirm={() => run.mutate()}
    >
      <Text size="sm">{text}</Text>
      <TextInput
        label="Reason"
        description="Goes into the audit log"
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
    </Confirm>
  );
}
