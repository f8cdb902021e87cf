import { Alert, Badge, Grid, Group, Stack, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useParams, useSearch } from "@tanstack/react-router";
import {
  type ProvenanceView,
  type ReleaseDetailView,
  releaseQuery,
  type SbomView,
} from "../../api/index.ts";
import { Hash } from "../../components/copy-text.tsx";
import { formatBytes, formatNumber } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { Fact, Page, Panel } from "../../components/page.tsx";
import { Loaded } from "../../components/states.tsx";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { StandingBadge } from "../releases/channel-badge.tsx";
import { ComponentSearch } from "../releases/component-search.tsx";
import { DeltaTable } from "./delta-table.tsx";
import { DocumentLink } from "./document-link.tsx";
import { FileTable } from "./file-table.tsx";
import { ProvenancePanel } from "./provenance-panel.tsx";
import { ReleaseActions } from "./release-actions.tsx";
import { ReleaseNotes } from "./release-notes.tsx";

export function ReleasePage() {
  const tenant = useTenantId();
  const { release: id } = useParams({ from: "/signed-in/t/$tenant/releases/$release" });
  const release = useQuery(releaseQuery(tenant, id));
  const { data } = release;
  return (
    <Page
      title={data ? `${data.product} ${data.version}` : "Release"}
      parent={{ label: "Releases", to: `/t/${tenant}/releases` }}
      aside={data && <StandingBadge release={data} />}
      description={
        data && (
          <span>
            Published <TimeAgo time={data.publishedAt} /> by {data.publishedBy}
          </span>
        )
      }
      actions={data && <ReleaseActions release={data} />}
    >
      <Loaded query={release}>{(view) => <Release release={view} />}</Loaded>
    </Page>
  );
}

function Release({ release }: { release: ReleaseDetailView }) {
  const sbom = release.files.find((file) => file.role === "sbom");
  const provenance = release.files.find((file) => file.role === "provenance");
  return (
    <Stack gap="md">
      {release.yankReason && (
        <Alert color="ember" title="Withdrawn">
          {release.yankReason}
        </Alert>
      )}
      {release.deltaWarning && (
        <Alert color="amber" title="Deltas will save nothing">
          {release.deltaWarning}
        </Alert>
      )}
      <Grid gap="md">
        <Grid.Col span={{ base: 12, lg: 7 }}>
          <Stack gap="md">
            <Panel title="What is new">
              {release.notes ? (
                <ReleaseNotes notes={release.notes} />
              ) : (
                <Text size="sm" c="dimmed">
                  It came without notes. Give them with{" "}
                  <span className="mono">vautn firmware build IMAGE --changelog FILE</span>.
                </Text>
              )}
            </Panel>
            <Panel title="Files" flush>
              <FileTable release={release} />
            </Panel>
            <Panel title="Deltas">
              <DeltaTable release={release} />
            </Panel>
          </Stack>
        </Grid.Col>
        <Grid.Col span={{ base: 12, lg: 5 }}>
          <Stack gap="md">
            <FactsPanel release={release} />
            <ProvenancePanel
              releaseId={release.id}
              provenance={provenance?.summary as ProvenanceView | undefined}
            />
          </Stack>
        </Grid.Col>
      </Grid>
      <Contents releaseId={release.id} sbom={sbom?.summary as SbomView | undefined} />
    </Stack>
  );
}

function FactsPanel({ release }: { release: ReleaseDetailView }) {
  const tenant = useTenantId();
  const { signed } = release.envelope;
  const running = `product = "${release.product}" and firmware.version = "${release.version}"`;
  return (
    <Panel title="Facts">
      <Fact label="Hardware">
        <Group gap={4} justify="flex-end">
          {release.hardwareRevisions.map((revision) => (
            <Badge key={revision} variant="default" radius="sm" tt="none" fw={450}>
              {revision}
            </Badge>
          ))}
        </Group>
      </Fact>
      <Fact label="Image">
        {formatBytes(release.imageSizeBytes)} · <Hash sha256={release.imageSha256} />
      </Fact>
      <Fact label="From version">{release.minimumSourceVersion ?? "any"}</Fact>
      <Fact label="Security counter">{release.securityCounter}</Fact>
      <Fact label="Signed by">
        <Stack gap={2} align="flex-end">
          {release.signers.map((id) => (
            <Hash key={id} sha256={id} />
          ))}
        </Stack>
      </Fact>
      <Fact label="Built">
        <TimeAgo time={signed.createdAt} />
      </Fact>
      <Fact label="Valid until">
        <TimeAgo time={signed.expires} />
      </Fact>
      <Fact label="Devices">
        <Link to="/t/$tenant/fleet" params={{ tenant }} search={{ q: running }}>
          Those that run it
        </Link>
      </Fact>
    </Panel>
  );
}

function Contents({ releaseId, sbom }: { releaseId: string; sbom: SbomView | undefined }) {
  const { q = "" } = useSearch({ from: "/signed-in/t/$tenant/releases/$release" });
  const navigate = useNavigate({ from: "/t/$tenant/releases/$release" });
  if (!sbom) {
    return (
      <Panel title="Bill of materials">
        <Text size="sm" c="dimmed">
          It does not say what is inside. Give a CycloneDX or SPDX document with{" "}
          <span className="mono">vautn firmware build IMAGE --sbom FILE</span>, and it can be
          searched here.
        </Text>
      </Panel>
    );
  }
  const format = sbom.format === "spdx" ? "" : "CycloneDX ";
  return (
    <Panel
      flush
      title={
        <Group gap="xs">
          Bill of materials
          <Text size="sm" c="dimmed" fw={400}>
            {formatNumber(sbom.componentCount)} components, {format}
            {sbom.specVersion}
          </Text>
        </Group>
      }
      actions={<DocumentLink releaseId={releaseId} document="sbom" />}
    >
      <ComponentSearch
        release={releaseId}
        q={q}
        onSearch={(next) =>
          void navigate({ search: { q: next || undefined }, replace: true, resetScroll: false })
        }
      />
    </Panel>
  );
}
