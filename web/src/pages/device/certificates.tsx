import { Button, Paper, Stack, Text } from "@mantine/core";
import { IconCertificate } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { api, type CertificateView, certificatesQuery } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useAction } from "../../components/use-action.ts";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { CertificateState } from "../certificates/certificate-state.tsx";
import { DeviceRotation } from "./device-rotation.tsx";
import { QuarantineHistory } from "./quarantine-history.tsx";

export function Certificates({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const certificates = useQuery(certificatesQuery(tenant, deviceId));
  return (
    <Stack>
      <Loaded query={certificates}>
        {({ items }) =>
          items.length === 0 ? (
            <EmptyState icon={IconCertificate} title="No certificate">
              The device is registered and has not been enrolled.
            </EmptyState>
          ) : (
            <Paper style={{ overflow: "hidden" }}>
              <History items={items} />
            </Paper>
          )
        }
      </Loaded>
      <DeviceRotation deviceId={deviceId} />
      <QuarantineHistory deviceId={deviceId} />
    </Stack>
  );
}

function History({ items }: { items: CertificateView[] }) {
  return (
    <DataTable
      caption="Certificates"
      rows={items}
      rowId={(certificate) => certificate.serial}
      columns={[
        {
          id: "serial",
          header: "Serial number",
          cell: ({ serial }) => <CopyText text={serial} shown={serial.slice(0, 16)} />,
        },
        {
          id: "state",
          header: "State",
          cell: (it) => (
            <>
              <CertificateState certificate={it} />
              {it.revocationReason && it.revocationCode !== "superseded" && (
                <Text size="xs" c="dimmed">
                  {it.revocationReason}
                </Text>
              )}
            </>
          ),
        },
        {
          id: "key",
          header: "Key",
          visibleFrom: "md",
          cell: (it) => <span className="mono">{it.keyAlgorithm ?? "–"}</span>,
        },
        {
          id: "via",
          header: "Issued",
          visibleFrom: "sm",
          cell: (it) => (
            <>
              <TimeAgo time={it.issuedAt} />
              <Text size="xs" c="dimmed">
                by {it.issuedVia}
              </Text>
            </>
          ),
        },
        {
          id: "used",
          header: "First used",
          visibleFrom: "md",
          cell: (it) => <TimeAgo time={it.firstUsedAt} fallback="never" />,
        },
        { id: "to", header: "Valid until", cell: (it) => <TimeAgo time={it.notAfter} /> },
        { id: "act", header: "", align: "right", cell: (it) => <Hold certificate={it} /> },
      ]}
    />
  );
}

/** Takes a certificate out of use for a while, or back. */
function Hold({ certificate }: { certificate: CertificateView }) {
  const tenant = useTenantId();
  const may = useMay();
  const { serial, status, notAfter } = certificate;
  const isHeld = status === "held";
  const change = useAction({
    run: () =>
      isHeld
        ? api.unholdCertificates(tenant, { serials: [serial] })
        : api.revokeCertificates(tenant, { serials: [serial], reason: "certificateHold" }),
    done: () => (isHeld ? "The certificate is in force again" : "The certificate is on hold"),
    refresh: ["tenant", tenant],
  });
  const isOver = Date.parse(notAfter) < Date.now() || status === "revoked";
  if (!may("engineer") || isOver) return null;
  return (
    <Button
      size="compact-xs"
      variant="default"
      loading={change.isPending}
      onClick={() => change.mutate()}
    >
      {isHeld ? "Lift the hold" : "Hold"}
    </Button>
  );
}
