import {
  ActionIcon,
  Button,
  Code,
  Group,
  Popover,
  Stack,
  Text,
  TextInput,
  UnstyledButton,
} from "@mantine/core";
import { useHotkeys } from "@mantine/hooks";
import { IconHelpCircle, IconSearch, IconX } from "@tabler/icons-react";
import { useEffect, useRef, useState } from "react";
import { ApiError } from "../../api/index.ts";

const EXAMPLES = [
  "presence = offline",
  'firmware.version < "2.4.0" and online',
  'region = "eu-west" and not tags.ring = "internal"',
  'hardware in ("rev-a", "rev-b")',
  'id ~ "pump-*"',
];

interface QueryBoxProps {
  query: string;
  error: Error | null;
  onSearch: (query: string) => void;
}

/** The fleet query; a mistake is shown at its place. */
export function QueryBox({ query, error, onSearch }: QueryBoxProps) {
  const [text, setText] = useState(query);
  const input = useRef<HTMLInputElement>(null);
  useEffect(() => setText(query), [query]);
  useHotkeys([["/", () => input.current?.focus()]]);

  return (
    <form
      style={{ flex: 1 }}
      onSubmit={(event) => {
        event.preventDefault();
        onSearch(text);
      }}
    >
      <Group gap="xs" align="flex-start" wrap="nowrap">
        <TextInput
          ref={input}
          flex={1}
          aria-label="Fleet query"
          placeholder='All devices. Try: firmware.version < "2.4.0" and online'
          leftSection={<IconSearch size={16} aria-hidden />}
          rightSection={
            text ? (
              <ActionIcon
                variant="subtle"
                color="gray"
                aria-label="Clear the query"
                onClick={() => {
                  setText("");
                  onSearch("");
                }}
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
          errorProps={{ component: "div" }}
          error={error && <QueryError error={error} query={query} />}
          onChange={(event) => setText(event.currentTarget.value)}
        />
        <Button type="submit" visibleFrom="xs" variant={text === query ? "default" : "filled"}>
          Search
        </Button>
        <QueryHelp
          onPick={(example) => {
            setText(example);
            onSearch(example);
          }}
        />
      </Group>
    </form>
  );
}

function QueryError({ error, query }: { error: Error; query: string }) {
  const position = error instanceof ApiError ? error.details.position : undefined;
  return (
    <Stack gap={2} component="span">
      <span>{error.message}</span>
      {typeof position === "number" && (
        <Code block bg="transparent" p={0} c="inherit" fz="xs" aria-hidden>
          {`${query}\n${" ".repeat(position)}▲`}
        </Code>
      )}
    </Stack>
  );
}

function QueryHelp({ onPick }: { onPick: (example: string) => void }) {
  return (
    <Popover width={380} position="bottom-end" withArrow shadow="md">
      <Popover.Target>
        <ActionIcon variant="default" size={36} aria-label="How to write a query">
          <IconHelpCircle size={18} />
        </ActionIcon>
      </Popover.Target>
      <Popover.Dropdown>
        <Stack gap="xs">
          <Text size="sm" fw={600}>
            Fields
          </Text>
          <Text size="xs" c="dimmed">
            <Code>id</Code> <Code>product</Code> <Code>hardware</Code> <Code>region</Code>{" "}
            <Code>tags.NAME</Code> <Code>firmware.version</Code> <Code>firmware.sha256</Code>{" "}
            <Code>presence</Code> <Code>online</Code> <Code>status</Code> <Code>lastSeen</Code>
          </Text>
          <Text size="xs" c="dimmed">
            Joined by <Code>and</Code> <Code>or</Code> <Code>not</Code> and brackets; compared by{" "}
            <Code>=</Code> <Code>!=</Code> <Code>&lt;</Code> <Code>&lt;=</Code> <Code>&gt;</Code>{" "}
            <Code>&gt;=</Code> <Code>in (…)</Code> and <Code>~</Code> for patterns with{" "}
            <Code>*</Code>. Versions are ordered as versions.
          </Text>
          <Text size="sm" fw={600}>
            Examples
          </Text>
          {EXAMPLES.map((example) => (
            <UnstyledButton
              key={example}
              className="row-button mono"
              fz="xs"
              onClick={() => onPick(example)}
            >
              {example}
            </UnstyledButton>
          ))}
        </Stack>
      </Popover.Dropdown>
    </Popover>
  );
}
