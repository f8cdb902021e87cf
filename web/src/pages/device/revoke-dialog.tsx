import { Text, TextInput } from "@mantine/core";
import { useState } from "react";
import { api } from "../../api/index.ts";
import { Confirm } from "../../components/confirm.tsx";
import { useAction } from "../../components/use-action.ts";
import { useTenantId } from "../../shell/use-tenant.ts";

interface RevokeDialogProps {
  deviceId: string;
  opened: boolean;
  onClose: () => void;
}

export function RevokeDialog({ deviceId, opened, onClose }: RevokeDialogProps) {
  const tenant = useTenantId();
  const [reason, setReason] = useState("");
  const [typed, setTyped] = useState("");
  const revoke = useAction({
    run: () => api.revokeDevice(tenant, deviceId, reason.trim()),
    done: () => `${deviceId} is revoked`,
    refresh: ["tenant", tenant],
    onDone: onClose,
  });
  return (
    <Confirm
      opened={opened}
      onClose={onClose}
      title={`Revoke ${deviceId}?`}
      confirmLabel="Revoke the device"
      destructive
      disabled={typed !== deviceId || !reason.trim()}
      busy={revoke.isPending}
      onConfirm={() => revoke.mutate()}
    >
      <Text size="sm">
        All its certificates are revoked and its connection is closed at once. It cannot come back
        without being enrolled anew, which may need a person at the device.
      </Text>
      <TextInput
        label="Reason"
        description="Goes into the audit log"
        value={reason}
        onChange={(event) => setReason(event.currentTarget.value)}
      />
      <TextInput
        label={`Type ${deviceId} to confirm`}
        value={typed}
        onChange={(event) => setTyped(event.currentTarget.value)}
      />
    </Confirm>
  );
}
