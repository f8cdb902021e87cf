import {
  ActionIcon,
  Button,
  Code,
  Group,
  Paper,
  Stack,
  Switch,
  Text,
  TextInput,
} from "@mantine/core";
import { IconListSearch, IconSearch, IconX } from "@tabler/icons-react";
import { useQuery } from "@tanstack/react-query";
import { useEffect, useState } from "react";
import { ApiError, type ComponentView, componentsQuery } from "../../api/index.ts";
import { CursorPager, useCursors } from "../../components/cursor-pager.tsx";
import { plural } from "../../components/format.ts";
import { EmptyState, Loaded } from "../../components/states.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { ComponentTable } from "./component-table.tsx";

const PAGE = 50;
/** Below everything else that there is to say about a release. */
const PAGE_IN_RELEASE = 20;
const EXAMPLES = ["openssl < 3.0.15", "busybox >= 1.30, < 1.36.1", "lib*", "pkg:npm/lodash"];

interface ComponentSearchProps {
  q: string;
  onSearch: (q: string) => void;
  /** Inside this release alone; without one in all of them. */
  release?: string | undefined;
}

/** What is inside releases, by their bills of materials. */
export function ComponentSearch({ q, onSearch, release }: ComponentSearchProps) {
  const tenant = useTenantId();
  const [withYanked, setWithYanked] = useState(false);
  const pages = useCursors(`${release} ${q} ${withYanked}`);
  const components = useQuery(
    componentsQuery(tenant, {
      q: q || undefined,
      release,
      ...(release || withYanked ? {} : { status: "published" as const }),
      cursor: pages.cursor,
      limit: release ? PAGE_IN_RELEASE : PAGE,
    }),
  );
  const wrong = components.error instanceof ApiError && components.error.code === "invalid-query";
  const content = (
    <Stack gap={0}>
      <Group p="md" gap="sm" align="flex-start">
        <SearchBox q={q} onSearch={onSearch} error={wrong ? components.error : null} />
        {!release && (
          <Switch
            label="Withdrawn too"
            checked={withYanked}
            mt={8}
            onChange={(event) => setWithYanked(event.currentTarget.checked)}
          />
        )}
      </Group>
      {wrong ? null : (
        <Loaded query={components}>
          {({ items, nextCursor }) =>
            items.length === 0 ? (
              <Nothing q={q} onSearch={onSearch} />
            ) : (
              <>
                <ComponentTable components={items} inRelease={release !== undefined} />
                <CursorPager
                  pages={pages}
                  nextCursor={nextCursor}
                  summary={summary(items, release)}
                />
              </>
            )
          }
        </Loaded>
      )}
    </Stack>
  );
  return release ? content : <Paper style={{ overflow: "hidden" }}>{content}</Paper>;
}

function summary(items: readonly ComponentView[], release: string | undefined): string {
  const count = plural(items.length, "component");
  if (release) return count;
  return `${count} in ${plural(new Set(items.map((item) => item.release.id)).size, "release")}`;
}

interface SearchBoxProps {
  q: string;
  onSearch: (q: string) => void;
  error: Error | null;
}

function SearchBox({ q, onSearch, error }: SearchBoxProps) {
  const [text, setText] = useState(q);
  useEffect(() => setText(q), [q]);
  return (
    <form
      style={{ flex: 1, minWidth: 240 }}
      onSubmit={(event) => {
        event.preventDefault();
        onSearch(text.trim());
      }}
    >
      <Group gap="xs" align="flex-start" wrap="nowrap">
        <TextInput
          flex={1}
          aria-label="Component query"
          placeholder="All components. Try: openssl < 3.0.15"
          leftSection={<IconSearch size={16} aria-hidden />}
          rightSection={
            text ? (
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label="Clear the query"
                onClick={() => onSearch("")}
              >
                <IconX size={15} />
              </ActionIcon>
            ) : undefined
          }
          classNames={{ input: "mono" }}
          spellCheck={false}
          autoCapitalize="off"
          autoComplete="off"
          value={text}
          error={error?.message}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <Button type="submit" visibleFrom="xs" variant={text === q ? "default" : "filled"}>
          Search
        </Button>
      </Group>
    </form>
  );
}

function Nothing({ q, onSearch }: { q: string; onSearch: (q: string) => void }) {
  if (q === "") {
    return (
      <EmptyState icon={IconListSearch} title="No bill of materials yet">
        Give one when a release is built: <Code>vautn firmware build … --sbom hub.cdx.json</Code>
      </EmptyState>
    );
  }
  return (
    <EmptyState icon={IconListSearch} title="Nothing like that is inside">
      <Text size="sm">A name or a package URL, with bounds of the version, for example:</Text>
      <Group gap="xs" justify="center" mt="sm">
        {EXAMPLES.map((example) => (
          <Button
            key={example}
            size="compact-sm"
            variant="default"
            className="mono"
            fw={450}
            onClick={() => onSearch(example)}
          >
            {example}
          </Button>
        ))}
      </Group>
    </EmptyState>
  );
}
