import { ActionIcon, Code, CopyButton, Group, Tooltip } from "@mantine/core";
import { IconCheck, IconCopy } from "@tabler/icons-react";

interface CopyTextProps {
  text: string;
  /** A shorter form to show; the whole is copied. */
  shown?: string;
}

/** Something to paste elsewhere: an id, a hash, a command. */
export function CopyText({ text, shown }: CopyTextProps) {
  return (
    <Group gap={2} wrap="nowrap" display="inline-flex" style={{ verticalAlign: "middle" }}>
      <span className="mono clip" title={text}>
        {shown ?? text}
      </span>
      <Copy text={text} label={shown ?? text} />
    </Group>
  );
}

/** Commands to paste as a whole, none of them cut. */
export function CopyBlock({ text, label }: { text: string; label: string }) {
  return (
    <Code block component="div">
      <Group gap="xs" wrap="nowrap" align="flex-start" justify="space-between">
        <span className="mono" style={{ whiteSpace: "pre-wrap", overflowWrap: "anywhere" }}>
          {text}
        </span>
        <Copy text={text} label={label} />
      </Group>
    </Code>
  );
}

function Copy({ text, label }: { text: string; label: string }) {
  return (
    <CopyButton value={text}>
      {({ copied, copy }) => (
        <Tooltip label={copied ? "Copied" : "Copy"}>
          <ActionIcon
            size="xs"
            variant="subtle"
            color={copied ? "moss" : "gray"}
            onClick={copy}
            aria-label={copied ? "Copied" : `Copy ${label}`}
          >
            {copied ? <IconCheck size={12} /> : <IconCopy size={12} />}
          </ActionIcon>
        </Tooltip>
      )}
    </CopyButton>
  );
}

/** The first digits of a SHA-256. */
export function Hash({ sha256 }: { sha256: string }) {
  return <CopyText text={sha256} shown={sha256.slice(0, 10)} />;
}
