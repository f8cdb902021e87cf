import { Box, Group, ScrollArea, Table, Text, Tooltip, VisuallyHidden } from "@mantine/core";
import type { GroupView, MatrixCell } from "../../api/index.ts";
import { formatNumber } from "../../components/format.ts";
import { Link } from "../../components/link.tsx";
import { useTenantId } from "../../shell/use-tenant.ts";
import { term } from "../fleet/fleet-query.ts";

interface MatrixProps {
  cells: readonly MatrixCell[];
  by: string;
  across: string;
  groups: readonly GroupView[];
}

const MAX_COLUMNS = 12;
const MAX_ROWS = 40;
/** Fields of the fleet query by the names of dimensions. */
const FIELDS: Record<string, string> = { firmware: "firmware.version" };

/** Shares of devices that are not well, two dimensions at once; a cell leads to its devices. */
export function HealthMatrix({ cells, by, across, groups }: MatrixProps) {
  const columns = namesOf(cells, "column").slice(0, MAX_COLUMNS);
  const rows = namesOf(cells, "row").slice(0, MAX_ROWS);
  const at = new Map(cells.map((cell) => [`${cell.row}\n${cell.column}`, cell]));
  if (cells.length === 0) {
    return (
      <Text size="sm" c="dimmed">
        No devices yet.
      </Text>
    );
  }
  return (
    <>
      <ScrollArea>
        <Table withRowBorders={false} verticalSpacing={3} horizontalSpacing={3} w="auto" miw="50%">
          <Table.Thead>
            <Table.Tr>
              <Table.Th>
                <VisuallyHidden>{by}</VisuallyHidden>
              </Table.Th>
              {columns.map((column) => (
                <Table.Th key={column} ta="center" fz="xs" c="dimmed" fw={550}>
                  {column || "none"}
                </Table.Th>
              ))}
            </Table.Tr>
          </Table.Thead>
          <Table.Tbody>
            {rows.map((row) => (
              <Table.Tr key={row}>
                <Table.Th fz="sm" fw={500} pr="md" style={{ whiteSpace: "nowrap" }}>
                  {row || "not known"}
                </Table.Th>
                {columns.map((column) => {
                  const cell = at.get(`${row}\n${column}`);
                  const query = [partOf(by, row, groups), partOf(across, column, groups)]
                    .filter(Boolean)
                    .join(" and ");
                  return (
                    <Table.Td key={column} p={3}>
                      {cell && <Cell cell={cell} query={query} />}
                    </Table.Td>
                  );
                })}
              </Table.Tr>
            ))}
          </Table.Tbody>
        </Table>
      </ScrollArea>
      <Scale />
    </>
  );
}

function Cell({ cell, query }: { cell: MatrixCell; query: string }) {
  const tenant = useTenantId();
  const sick = cell.degraded + cell.failing + cell.offline;
  const share = cell.total === 0 ? 0 : sick / cell.total;
  const words = [
    `${cell.healthy} healthy`,
    cell.degraded && `${cell.degraded} degraded`,
    cell.failing && `${cell.failing} failing`,
    cell.offline && `${cell.offline} offline`,
    cell.unknown && `${cell.unknown} never heard`,
  ].filter(Boolean);
  return (
    <Tooltip label={words.join(", ")}>
      <Box>
        <Link
          to="/t/$tenant/fleet"
          params={{ tenant }}
          search={{ q: query || undefined }}
          c="inherit"
          underline="never"
        >
          <Box
            px="sm"
            py={7}
            miw={84}
            ta="center"
            style={{ borderRadius: 6, background: shadeOf(share) }}
            aria-label={`${cell.row}, ${cell.column}: ${words.join(", ")}`}
          >
            <Text size="sm" fw={600} lh={1.2}>
              {formatNumber(cell.total)}
            </Text>
            <Text size="xs" lh={1.2}>
              {sick > 0 ? `${Math.round(100 * share)} % not well` : "all well"}
            </Text>
          </Box>
        </Link>
      </Box>
    </Tooltip>
  );
}

/** From quiet green to full red, readable on both grounds: the text stays the page's own. */
function shadeOf(share: number): string {
  if (share === 0) return "color-mix(in srgb, var(--vautn-ok) 14%, transparent)";
  const strength = Math.round(16 + 44 * Math.sqrt(share));
  return `color-mix(in srgb, var(--vautn-bad) ${strength}%, transparent)`;
}

function Scale() {
  return (
    <Group gap={6} mt="sm">
      <Text size="xs" c="dimmed">
        not well:
      </Text>
      {[0, 0.02, 0.1, 0.3, 1].map((share) => (
        <Group key={share} gap={4}>
          <Box w={14} h={14} style={{ borderRadius: 4, background: shadeOf(share) }} />
          <Text size="xs" c="dimmed">
            {Math.round(100 * share)} %
          </Text>
        </Group>
      ))}
    </Group>
  );
}

/** The largest first. */
function namesOf(cells: readonly MatrixCell[], side: "row" | "column"): string[] {
  const totals = new Map<string, number>();
  for (const cell of cells) totals.set(cell[side], (totals.get(cell[side]) ?? 0) + cell.total);
  return [...totals].sort((left, right) => right[1] - left[1]).map(([name]) => name);
}

function partOf(by: string, value: string, groups: readonly GroupView[]): string {
  if (by === "group") {
    const query = groups.find(({ name }) => name === value)?.query;
    return query ? `(${query})` : "";
  }
  return value === "" ? "" : term(FIELDS[by] ?? by, value);
}
