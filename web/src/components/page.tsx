import { Box, Breadcrumbs, Group, Paper, Stack, Text, Title } from "@mantine/core";
import { useDocumentTitle } from "@mantine/hooks";
import type { ReactNode } from "react";
import { Link } from "./link.tsx";

interface PageProps {
  title: string;
  /** Stands beside the title: a badge, for example. */
  aside?: ReactNode;
  description?: ReactNode;
  actions?: ReactNode;
  /** Where one came from. */
  parent?: { label: string; to: string };
  children: ReactNode;
}

/** The frame of every page: where one is, what it is called, what one can do. */
export function Page({ title, aside, description, actions, parent, children }: PageProps) {
  useDocumentTitle(`${title} · Vautn`);
  return (
    <Stack gap="lg" maw={1440} mx="auto">
      <Stack gap={4}>
        {parent && (
          <Breadcrumbs fz="sm">
            <Link to={parent.to}>{parent.label}</Link>
            <Text size="sm" c="dimmed">
              {title}
            </Text>
          </Breadcrumbs>
        )}
        <Group justify="space-between" align="center" gap="sm">
          <Group gap="sm" miw={0}>
            <Title order={1} fz={24} style={{ overflowWrap: "anywhere" }}>
              {title}
            </Title>
            {aside}
          </Group>
          {actions && <Group gap="xs">{actions}</Group>}
        </Group>
        {description && (
          <Text c="dimmed" size="sm" component="div">
            {description}
          </Text>
        )}
      </Stack>
      {children}
    </Stack>
  );
}

interface PanelProps {
  title?: ReactNode;
  actions?: ReactNode;
  children: ReactNode;
  /** Without inner padding, for tables. */
  flush?: boolean;
}

/** A card with a heading. */
export function Panel({ title, actions, children, flush = false }: PanelProps) {
  return (
    <Paper component="section" style={{ overflow: "hidden" }}>
      {title && (
        <Group justify="space-between" px="md" pt="md" pb={flush ? "sm" : 0} gap="sm">
          <Title order={2} fz="md">
            {title}
          </Title>
          {actions}
        </Group>
      )}
      <Box p={flush ? 0 : "md"}>{children}</Box>
    </Paper>
  );
}

/** A word and its value, one line of a list of facts. */
export function Fact({ label, children }: { label: string; children: ReactNode }) {
  return (
    <Group justify="space-between" wrap="nowrap" gap="md" py={5} align="flex-start">
      <Text size="sm" c="dimmed" style={{ flexShrink: 0 }}>
        {label}
      </Text>
      <Text size="sm" ta="end" component="div" miw={0} style={{ overflowWrap: "anywhere" }}>
        {children}
      </Text>
    </Group>
  );
}
