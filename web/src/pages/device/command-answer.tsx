import { Code, Text } from "@mantine/core";
import type { CommandView } from "../../api/index.ts";

/** Characters of an answer that is shown in one line. */
const SHORT_ANSWER = 60;

export function CommandAnswer({ command }: { command: CommandView }) {
  if (command.error) {
    return (
      <Text size="sm" c="var(--vautn-bad-text)">
        {command.error}
      </Text>
    );
  }
  if (command.output === null || command.output === undefined) {
    return (
      <Text size="sm" c="dimmed">
        {endOf(command)}
      </Text>
    );
  }
  const { output } = command;
  const short = typeof output === "string" ? output : JSON.stringify(output);
  // A list of many answers is read line by line: what fits one line gets no more.
  if (short.length <= SHORT_ANSWER && !short.includes("\n")) return <Code>{short}</Code>;
  const text = typeof output === "string" ? output : JSON.stringify(output, null, 2);
  return (
    <Code block tabIndex={0} mah={160} style={{ overflow: "auto" }}>
      {text}
    </Code>
  );
}

/** Why there is no answer, and will be none. */
function endOf({ status, deliveredAt }: CommandView): string {
  if (status === "expired") {
    return deliveredAt ? "it expired before it was finished" : "it expired before it was delivered";
  }
  return status === "replaced" ? "a newer one of its key took its place" : "–";
}
