import { ActionIcon, CopyButton, Group, Tooltip } from "@mantine/core";
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
      <CopyButton value={text}>
        {({ copied, copy }) => (
          <Tooltip label={copied ? "Copied" : "Copy"}>
            <ActionIcon
              size="xs"
              variant="subtle"
              color={copied ? "moss" : "gray"}
              onClick={copy}
              aria-label={copied ? "Copied" : `Copy ${shown ?? text}`}
            >
              {copied ? <IconCheck size={12} /> : <IconCopy size={12} />}
            </ActionIcon>
          </Tooltip>
        )}
      </CopyButton>
    </Group>
  );
}

/** The first digits of a SHA-256. */
export function Hash({ sha256 }: { sha256: string }) {
  return <CopyText text={sha256} shown={sha256.slice(0, 10)} />;
}
