import { Anchor } from "@mantine/core";
import { IconDownload } from "@tabler/icons-react";
import { useTenantId } from "../../shell/use-tenant.ts";

interface DocumentLinkProps {
  releaseId: string;
  document: "sbom" | "provenance";
}

/** The document as it was published, byte by byte: its hash stands in the signed manifest. */
export function DocumentLink({ releaseId, document }: DocumentLinkProps) {
  const tenant = useTenantId();
  return (
    <Anchor
      href={`/api/v1/tenants/${tenant}/releases/${releaseId}/documents/${document}`}
      download
      size="sm"
      style={{ display: "inline-flex", alignItems: "center", gap: 4 }}
    >
      <IconDownload size={15} aria-hidden />
      Download
    </Anchor>
  );
}
