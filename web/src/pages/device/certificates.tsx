import { Paper } from "@mantine/core";
import { IconCertificate } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { type CertificateView, certificatesQuery } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { CopyText } from "../../components/copy-text.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

export function Certificates({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const certificates = useQuery(certificatesQuery(tenant, deviceId));
  return (
    <Loaded query={certificates}>
      {({ items }) =>
        items.length === 0 ? (
          <EmptyState icon={IconCertificate} title="No certificate">
            The device is registered and has not been enrolled.
          </EmptyState>
        ) : (
          <Paper style={{ overflow: "hidden" }}>
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
                  cell: (it) => <CertificateState certificate={it} />,
                },
                {
                  id: "via",
                  header: "Issued",
                  visibleFrom: "sm",
                  cell: (it) => `by ${it.issuedVia}`,
                },
                {
                  id: "from",
                  header: "Valid from",
                  visibleFrom: "sm",
                  cell: (it) => <TimeAgo time={it.notBefore} />,
                },
                { id: "to", header: "Valid until", cell: (it) => <TimeAgo time={it.notAfter} /> },
              ]}
            />
          </Paper>
        )
      }
    </Loaded>
  );
}

function CertificateState({ certificate }: { certificate: CertificateView }) {
  if (certificate.revokedAt) {
    return (
      <ToneBadge tone="bad" label={`Revoked: ${certificate.revocationReason ?? "no reason"}`} />
    );
  }
  if (Date.parse(certificate.notAfter) < Date.now())
    return <ToneBadge tone="late" label="Expired" />;
  return <ToneBadge tone="ok" label="Valid" />;
}
