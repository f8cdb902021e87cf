import { Button, Group, Text } from "@mantine/core";
import { IconChevronLeft, IconChevronRight } from "@tabler/icons-react";
import { useState } from "react";

/**
 * Walks a list by its cursors. `scope` names the list: another filter starts at the first page.
 */
export function useCursors(scope: string) {
  const [state, setState] = useState<{ scope: string; cursors: string[] }>({ scope, cursors: [] });
  const cursors = state.scope === scope ? state.cursors : [];
  return {
    cursor: cursors.at(-1),
    pageNumber: cursors.length + 1,
    next: (cursor: string) => setState({ scope, cursors: [...cursors, cursor] }),
    back: () => setState({ scope, cursors: cursors.slice(0, -1) }),
  };
}

interface CursorPagerProps {
  pages: ReturnType<typeof useCursors>;
  nextCursor: string | null | undefined;
  summary: string;
}

export function CursorPager({ pages, nextCursor, summary }: CursorPagerProps) {
  const single = pages.pageNumber === 1 && !nextCursor;
  return (
    <Group justify="space-between" px="md" py="sm">
      <Text size="xs" c="dimmed">
        {summary}
      </Text>
      {!single && (
        <Group gap="xs">
          <Button
            size="xs"
            variant="default"
            disabled={pages.pageNumber === 1}
            leftSection={<IconChevronLeft size={14} aria-hidden />}
            onClick={pages.back}
          >
            Back
          </Button>
          <Text size="xs" c="dimmed">
            Page {pages.pageNumber}
          </Text>
          <Button
            size="xs"
            variant="default"
            disabled={!nextCursor}
            rightSection={<IconChevronRight size={14} aria-hidden />}
            onClick={() => nextCursor && pages.next(nextCursor)}
          >
            Next
          </Button>
        </Group>
      )}
    </Group>
  );
}
