import { Button, Menu } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import {
  IconDots,
  IconLock,
  IconLockOpen,
  IconRestore,
  IconSend,
  IconShieldOff,
} from "@tabler/icons-react";
import { useState } from "react";
import type { DeviceView } from "../../api/index.ts";
import { useMay } from "../../shell/use-tenant.ts";
import { RevokeDialog } from "./revoke-dialog.tsx";
import { SendCommand } from "./send-command.tsx";
import { type StandingChange, StandingDialog } from "./standing-dialog.tsx";

/** What can be done with a device, as far as the person may. */
export function DeviceActions({ device }: { device: DeviceView }) {
  const may = useMay();
  const [sending, send] = useDisclosure(false);
  const [revoking, revoke] = useDisclosure(false);
  const [change, setChange] = useState<StandingChange>();
  if (!may("operate")) return null;
  return (
    <>
      {device.status === "active" && (
        <Button leftSection={<IconSend size={16} aria-hidden />} onClick={send.open}>
          Send a command
        </Button>
      )}
      <Menu position="bottom-end">
        <Menu.Target>
          <Button variant="default" px={9} aria-label="More actions">
            <IconDots size={18} />
          </Button>
        </Menu.Target>
        <Menu.Dropdown>
          <StandingItems device={device} onChange={setChange} />
          {may("engineer") && device.status !== "revoked" && (
            <Menu.Item
              color="red"
              leftSection={<IconShieldOff size={15} aria-hidden />}
              onClick={revoke.open}
            >
              Revoke the device…
            </Menu.Item>
          )}
        </Menu.Dropdown>
      </Menu>
      <SendCommand deviceId={device.id} opened={sending} onClose={send.close} />
      <RevokeDialog deviceId={device.id} opened={revoking} onClose={revoke.close} />
      <StandingDialog deviceId={device.id} change={change} onClose={() => setChange(undefined)} />
    </>
  );
}

function StandingItems({
  device,
  onChange,
}: {
  device: DeviceView;
  onChange: (change: StandingChange) => void;
}) {
  const may = useMay();
  if (device.status === "revoked") {
    return may("engineer") ? (
      <Menu.Item
        leftSection={<IconRestore size={15} aria-hidden />}
        onClick={() => onChange("reinstate")}
      >
        Reinstate the device…
      </Menu.Item>
    ) : (
      <Menu.Item disabled>The device is revoked</Menu.Item>
    );
  }
  const isQuarantined = device.status === "quarantined";
  const Icon = isQuarantined ? IconLockOpen : IconLock;
  return (
    <Menu.Item
      leftSection={<Icon size={15} aria-hidden />}
      onClick={() => onChange(isQuarantined ? "release" : "quarantine")}
    >
      {isQuarantined ? "Lift the quarantine…" : "Put in quarantine…"}
    </Menu.Item>
  );
}
