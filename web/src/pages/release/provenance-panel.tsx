import { Stack, Text } from "@mantine/core";
import type { ProvenanceView } from "../../api/index.ts";
import { ToneBadge } from "../../components/badges.tsx";
import { Hash } from "../../components/copy-text.tsx";
import { plural } from "../../components/format.ts";
import { Fact, Panel } from "../../components/page.tsx";
import { DocumentLink } from "./document-link.tsx";

interface ProvenancePanelProps {
  releaseId: string;
  provenance: ProvenanceView | undefined;
}

/** Who built the image, of what, and who vouches for that. */
export function ProvenancePanel({ releaseId, provenance }: ProvenancePanelProps) {
  if (!provenance) {
    return (
      <Panel title="Provenance">
        <Text size="sm" c="dimmed">
          Nobody says how it was built. Give an in-toto statement with{" "}
          <span className="mono">vautn firmware build IMAGE --provenance FILE</span>.
        </Text>
      </Panel>
    );
  }
  const { signers, builder, buildType, sources, predicateType } = provenance;
  return (
    <Panel
      title="Provenance"
      actions={<DocumentLink releaseId={releaseId} document="provenance" />}
    >
      <Fact label="Vouched for">
        {signers.length > 0 ? (
          <ToneBadge tone="ok" label={`Signed by ${plural(signers.length, "named key")}`} />
        ) : (
          <ToneBadge tone="late" label="By no key that the release names" />
        )}
      </Fact>
      <Fact label="Builder">{builder ?? "not said"}</Fact>
      <Fact label="Built by">{buildType ?? "not said"}</Fact>
      <Fact label="Sources">
        {sources.length === 0 ? (
          "not said"
        ) : (
          <Stack gap={2} align="flex-end">
            {sources.map((source) => (
              <span key={source}>{source}</span>
            ))}
          </Stack>
        )}
      </Fact>
      {signers.length > 0 && (
        <Fact label="Keys">
          <Stack gap={2} align="flex-end">
            {signers.map((id) => (
              <Hash key={id} sha256={id} />
            ))}
          </Stack>
        </Fact>
      )}
      <Fact label="Statement">{predicateType}</Fact>
    </Panel>
  );
}
