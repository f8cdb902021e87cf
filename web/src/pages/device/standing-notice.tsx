import { Alert } from "@mantine/core";
import { IconLock, IconShieldOff } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type DeviceView, quarantinesQuery } from "../../api/index.ts";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** Says above all else that a device is kept apart, or out, and why. */
export function StandingNotice({ device }: { device: DeviceView }) {
  if (device.status === "quarantined") return <Quarantined deviceId={device.id} />;
  if (device.status === "revoked") {
    return (
      <Alert color="ember" variant="light" icon={<IconShieldOff aria-hidden />} title="Revoked">
        None of its certificates is accepted. It can be reinstated, and then enrolled anew.
      </Alert>
    );
  }
  return null;
}

function Quarantined({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const { data } = useQuery(quarantinesQuery(tenant, deviceId));
  const current = data?.items.find((one) => one.liftedAt === null);
  return (
    <Alert color="amber" variant="light" icon={<IconLock aria-hidden />} title="In quarantine">
      It may renew its certificate and be updated; nothing else is taken of it.
      {current && (
        <>
          {" "}
          Since <TimeAgo time={current.setAt} />
          {current.setBy && `, by ${current.setBy}`}: {current.reason}
        </>
      )}
    </Alert>
  );
}
