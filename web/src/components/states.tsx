import {
  Alert,
  Button,
  Center,
  Code,
  Group,
  Skeleton,
  Stack,
  Text,
  ThemeIcon,
} from "@mantine/core";
import { IconAlertTriangle, IconRefresh } from "@tabler/icons-react";
import type { ReactNode } from "react";
import { ApiError } from "../api/index.ts";
import { CopyText } from "./copy-text.tsx";

interface ErrorStateProps {
  error: Error;
  retry?: () => void;
  title?: string;
}

/** What went wrong, how to name it to somebody who can help, and a way to try again. */
export function ErrorState({ error, retry, title }: ErrorStateProps) {
  const known = error instanceof ApiError ? error : undefined;
  return (
    <Alert
      color="ember"
      variant="light"
      radius="md"
      role="alert"
      icon={<IconAlertTriangle aria-hidden />}
      title={title ?? known?.title ?? "Something went wrong"}
    >
      <Stack gap="xs" align="flex-start">
        <Text size="sm" style={{ overflowWrap: "anywhere" }}>
          {error.message}
        </Text>
        {known && (
          <Group gap="xs">
            <Text size="xs" c="dimmed">
              Code <Code>{known.code}</Code>
            </Text>
            {known.traceId && (
              <Text size="xs" c="dimmed" component="div">
                Trace <CopyText text={known.traceId} shown={known.traceId.slice(0, 12)} />
              </Text>
            )}
          </Group>
        )}
        {retry && (
          <Button
            size="xs"
            variant="default"
            leftSection={<IconRefresh size={14} aria-hidden />}
            onClick={retry}
          >
            Try again
          </Button>
        )}
      </Stack>
    </Alert>
  );
}

interface EmptyStateProps {
  icon: typeof IconRefresh;
  title: string;
  children?: ReactNode;
}

export function EmptyState({ icon: Icon, title, children }: EmptyStateProps) {
  return (
    <Center py={48} px="md">
      <Stack align="center" gap="sm" maw={560}>
        <ThemeIcon size={52} radius="xl" variant="light" color="fjord">
          <Icon size={26} stroke={1.6} aria-hidden />
        </ThemeIcon>
        <Text fw={600} ta="center">
          {title}
        </Text>
        <Text c="dimmed" size="sm" ta="center" component="div">
          {children}
        </Text>
      </Stack>
    </Center>
  );
}

/** Grey lines in the shape of a list that is on its way. */
export function ListSkeleton({ rows = 6, height = 20 }: { rows?: number; height?: number }) {
  return (
    <Stack gap="md" p="md" aria-busy="true" aria-label="Loading">
      {Array.from({ length: rows }, (_, row) => (
        // biome-ignore lint/suspicious/noArrayIndexKey: the rows have no identity and never move
        <Skeleton key={row} height={height} width={`${96 - ((row * 17) % 34)}%`} radius="sm" />
      ))}
    </Stack>
  );
}

interface QueryLike<T> {
  data: T | undefined;
  error: Error | null;
  refetch: () => unknown;
}

interface LoadedProps<T> {
  query: QueryLike<T>;
  skeleton?: ReactNode;
  children: (data: T) => ReactNode;
}

/** Waiting, failed, or there: the three faces of anything that is fetched. */
export function Loaded<T>({ query, skeleton, children }: LoadedProps<T>) {
  const { data, error } = query;
  if (data === undefined) {
    if (error) return <ErrorState error={error} retry={() => query.refetch()} />;
    return skeleton ?? <ListSkeleton />;
  }
  return (
    <>
      {error && (
        <ErrorState title="What you see may be old" error={error} retry={() => query.refetch()} />
      )}
      {children(data)}
    </>
  );
}
