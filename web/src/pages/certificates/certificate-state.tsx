import type { CertificateView } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";

/** How a certificate stands, in one word and a colour. */
export function CertificateState({ certificate }: { certificate: CertificateView }) {
  const { status, revocationCode, notAfter } = certificate;
  if (status === "held") return <ToneBadge tone="late" label="On hold" />;
  if (status === "revoked") {
    // The normal end of a certificate that another one followed is nobody's worry.
    const isSuperseded = revocationCode === "superseded";
    return isSuperseded ? (
      <ToneBadge tone="idle" label="Replaced" />
    ) : (
      <ToneBadge tone="bad" label={`Revoked: ${revocationCode ?? "unspecified"}`} />
    );
  }
  if (Date.parse(notAfter) < Date.now()) return <ToneBadge tone="late" label="Ended" />;
  if (status === "superseded") return <ToneBadge tone="idle" label="Being replaced" />;
  return <ToneBadge tone="ok" label="In force" />;
}
