import { Paper, Table, Text } from "@mantine/core";
import { useQuery } from "@tanstack/react-query";
import { deviceTextsQuery } from "../../api/index.ts";
import { TimeAgo } from "../../components/time-ago.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";

/** The newest of each value that is words; nothing where the device says none. */
export function TextsPanel({ deviceId }: { deviceId: string }) {
  const tenant = useTenantId();
  const texts = useQuery(deviceTextsQuery(tenant, deviceId));
  const items = texts.data?.items ?? [];
  if (items.length === 0) return null;
  return (
    <Paper p="md" component="section" aria-label="Values that are words">
      <Text fw={600} size="sm" mb={4}>
        Values that are words
      </Text>
      <Table.ScrollContainer minWidth={320}>
        <Table>
          <Table.Thead>
            <Table.Tr>
              <Table.Th>Metric</Table.Th>
              <Table.Th>Newest value</Table.Th>
              <Table.Th ta="right">Said</Table.Th>
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {items
              .toSorted((left, right) => left.metric.localeCompare(right.metric))
              .map(({ metric, text, ts }) => (
                <Table.Tr key={metric}>
                  <Table.Td>{metric}</Table.Td>
                  <Table.Td fw={600} style={{ overflowWrap: "anywhere" }}>
                    {text === "" ? <Text c="dimmed">(empty)</Text> : text}
                  </Table.Td>
                  <Table.Td ta="right" c="dimmed" style={{ whiteSpace: "nowrap" }}>
                    <TimeAgo time={ts} />
                  </Table.Td>
                </Table.Tr>
              ))}
          </Table.Tbody>
        </Table>
      </Table.ScrollContainer>
    </Paper>
  );
}
