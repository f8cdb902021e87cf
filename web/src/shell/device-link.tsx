import type { AnchorProps } from "@mantine/core";
import { Link } from "../components/link.tsx";
import { useTenantId } from "./use-tenant.ts";

interface Props extends Pick<AnchorProps, "fw" | "style" | "underline"> {
  deviceId: string;
  /** The tab of the device's page that is opened; its overview without one. */
  tab?: string;
}

/** A device's id, which leads to its page. */
export function DeviceLink({ deviceId, tab, ...style }: Props) {
  const tenant = useTenantId();
  return (
    <Link
      to="/t/$tenant/devices/$device"
      params={{ tenant, device: deviceId }}
      search={tab === undefined ? {} : { tab }}
      {...style}
    >
      {deviceId}
    </Link>
  );
}
