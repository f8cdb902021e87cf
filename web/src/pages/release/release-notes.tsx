import { List, Text, Title } from "@mantine/core";
import type { ReactNode } from "react";

const MAX_LINES = 2_000;

/** A changelog as people write it: headings, points and sentences. Nothing else is made of it. */
export function ReleaseNotes({ notes }: { notes: string }) {
  const blocks: ReactNode[] = [];
  let points: string[] = [];
  const endPoints = () => {
    if (points.length === 0) return;
    blocks.push(
      <List key={blocks.length} size="sm" spacing={4} pr="md" mb="xs">
        {points.map((point, index) => (
          // biome-ignore lint/suspicious/noArrayIndexKey: the lines never change their places
          <List.Item key={index}>{point}</List.Item>
        ))}
      </List>,
    );
    points = [];
  };
  for (const line of notes.split("\n").slice(0, MAX_LINES)) {
    const point = /^\s*[-*+]\s+(.*)$/.exec(line)?.[1];
    if (point !== undefined) {
      points.push(point);
      continue;
    }
    // A point that goes on in the next line.
    if (points.length > 0 && /^\s{2,}\S/.test(line)) {
      points.push(`${points.pop()} ${line.trim()}`);
      continue;
    }
    endPoints();
    const heading = /^#{1,6}\s+(.*)$/.exec(line)?.[1];
    if (heading !== undefined) {
      blocks.push(
        <Title order={3} fz="sm" mt={blocks.length > 0 ? "sm" : 0} mb={4} key={blocks.length}>
          {heading}
        </Title>,
      );
    } else if (line.trim() !== "") {
      blocks.push(
        <Text size="sm" mb={4} key={blocks.length} style={{ overflowWrap: "anywhere" }}>
          {line}
        </Text>,
      );
    }
  }
  endPoints();
  return <div>{blocks}</div>;
}
