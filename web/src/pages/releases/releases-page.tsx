import { Button, Group, Paper, Select, Tabs } from "@mantine/core";
import { useDisclosure } from "@mantine/hooks";
import { IconPackage, IconUpload } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useNavigate, useSearch } from "@tanstack/react-router";
import { CHANNELS, type Channel, type ReleaseView, releasesQuery } from "../../api/index.ts";
import { CopyText } from "../../components/copy-text.tsx";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { plural } from "../../components/format.ts";
import { Page } from "../../components/page.tsx";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useMay, useTenantId } from "../../shell/use-tenant.ts";
import { ComponentSearch } from "./component-search.tsx";
import { PublishDialog } from "./publish-dialog.tsx";
import { ReleaseTable } from "./release-table.tsx";

const PAGE = 50;

export function ReleasesPage() {
  const may = useMay();
  const search = useSearch({ from: "/signed-in/t/$tenant/releases" });
  const navigate = useNavigate({ from: "/t/$tenant/releases" });
  const [publishing, publish] = useDisclosure(false);
  const { tab = "releases", q = "" } = search;
  return (
    <Page
      title="Releases"
      description="Firmware that was signed away from the platform, and what is inside it"
      actions={
        may("engineer") && (
          <Button leftSection={<IconUpload size={16} aria-hidden />} onClick={publish.open}>
            Publish
          </Button>
        )
      }
    >
      <Tabs
        value={tab}
        keepMounted={false}
        onChange={(next) => void navigate({ search: { tab: next ?? undefined }, replace: true })}
      >
        <Tabs.List mb="md">
          <Tabs.Tab value="releases">Releases</Tabs.Tab>
          <Tabs.Tab value="components">Components</Tabs.Tab>
        </Tabs.List>
        <Tabs.Panel value="releases">
          <ReleaseList />
        </Tabs.Panel>
        <Tabs.Panel value="components">
          <ComponentSearch
            q={q}
            onSearch={(next) => void navigate({ search: { tab, q: next || undefined } })}
          />
        </Tabs.Panel>
      </Tabs>
      <PublishDialog opened={publishing} onClose={publish.close} />
    </Page>
  );
}

function ReleaseList() {
  const tenant = useTenantId();
  const { product, channel, status } = useSearch({ from: "/signed-in/t/$tenant/releases" });
  const navigate = useNavigate({ from: "/t/$tenant/releases" });
  const filter = {
    product,
    channel: channel as Channel | undefined,
    status: status as ReleaseView["status"] | undefined,
  };
  const pages = useCursors(`${product} ${channel} ${status}`);
  const releases = useQuery(
    releasesQuery(tenant, { ...filter, cursor: pages.cursor, limit: PAGE }),
  );
  const isFiltered = Boolean(product || channel || status);
  const choose = (change: object) =>
    void navigate({ search: (now) => ({ ...now, ...change }), replace: true });
  const products = new Set(releases.data?.items.map((release) => release.product));
  if (product) products.add(product);
  return (
    <Paper style={{ overflow: "hidden" }}>
      <Loaded query={releases}>
        {({ items, nextCursor }) =>
          items.length === 0 && !isFiltered ? (
            <NoRelease tenant={tenant} />
          ) : (
            <>
              <Group p="md" gap="sm" style={{ borderBottom: "1px solid var(--vautn-line)" }}>
                <Filter
                  label="Product"
                  all="All products"
                  value={product}
                  data={[...products].sort().map((value) => ({ value, label: value }))}
                  onChange={(value) => choose({ product: value })}
                />
                <Filter
                  label="Channel"
                  all="All channels"
                  value={channel}
                  data={CHANNELS.map((value) => ({ value, label: value }))}
                  onChange={(value) => choose({ channel: value })}
                />
                <Filter
                  label="Status"
                  all="Any status"
                  value={status}
                  data={[
                    { value: "published", label: "Published" },
                    { value: "yanked", label: "Withdrawn" },
                  ]}
                  onChange={(value) => choose({ status: value })}
                />
              </Group>
              {items.length === 0 ? (
                <EmptyState icon={IconPackage} title="No such release">
                  Nothing matches the filters.
                </EmptyState>
              ) : (
                <>
                  <ReleaseTable releases={items} />
                  <CursorPager
                    pages={pages}
                    nextCursor={nextCursor}
                    summary={plural(items.length, "release")}
                  />
                </>
              )}
            </>
          )
        }
      </Loaded>
    </Paper>
  );
}

interface FilterProps {
  label: string;
  all: string;
  value: string | undefined;
  data: { value: string; label: string }[];
  onChange: (value: string | undefined) => void;
}

function Filter({ label, all, value, data, onChange }: FilterProps) {
  return (
    <Select
      aria-label={label}
      placeholder={all}
      size="sm"
      w={{ base: "100%", xs: 170 }}
      clearable
      value={value ?? null}
      data={data}
      onChange={(next) => onChange(next ?? undefined)}
    />
  );
}

function NoRelease({ tenant }: { tenant: string }) {
  return (
    <EmptyState icon={IconPackage} title="No release yet">
      Build and sign one with offline keys, then publish it:
      <div style={{ marginTop: 12 }}>
        <CopyText text={`vautn firmware publish --tenant ${tenant} --help`} />
      </div>
    </EmptyState>
  );
}
