import { Group, Table, UnstyledButton, VisuallyHidden } from "@mantine/core";
import { IconChevronDown, IconChevronUp, IconSelector } from "@tabler/icons-react";
import { createColumnHelper, tableFeatures, useTable } from "@tanstack/react-table";
import type { ReactNode } from "react";

const features = tableFeatures({});

export interface Column<T> {
  id: string;
  header: string;
  cell: (row: T) => ReactNode;
  align?: "right";
  /** Left out on windows narrower than this. */
  visibleFrom?: "xs" | "sm" | "md" | "lg";
  /** The server's name for ordering by this column. */
  sortKey?: string;
  width?: number | string;
}

interface DataTableProps<T> {
  caption: string;
  columns: readonly Column<T>[];
  rows: readonly T[];
  rowId: (row: T) => string;
  /** `name` or `-name`. */
  sort?: string | undefined;
  onSort?: (sort: string) => void;
  /** What lies under a row when it is open. */
  detail?: (row: T) => ReactNode;
}

/** A table in one look for the whole console; the server sorts, filters and pages. */
export function DataTable<T extends object>(props: DataTableProps<T>) {
  const { caption, columns, rows, rowId, sort, onSort, detail } = props;
  const helper = createColumnHelper<typeof features, T>();
  const table = useTable({
    features,
    data: rows as T[],
    columns: columns.map((column) =>
      helper.display({
        id: column.id,
        header: column.header,
        cell: ({ row }) => column.cell(row.original),
      }),
    ),
    getRowId: rowId,
  });
  const byId = new Map(columns.map((column) => [column.id, column]));

  return (
    <Table.ScrollContainer minWidth={320} type="native">
      <Table verticalSpacing={9} horizontalSpacing="md" highlightOnHover fz="sm">
        <caption className="visually-hidden">{caption}</caption>
        <Table.Thead>
          {table.getHeaderGroups().map((group) => (
            <Table.Tr key={group.id}>
              {group.headers.map((header) => {
                const column = byId.get(header.column.id) as Column<T>;
                return <HeaderCell key={header.id} column={column} sort={sort} onSort={onSort} />;
              })}
            </Table.Tr>
          ))}
        </Table.Thead>
        <Table.Tbody>
          {table.getRowModel().rows.flatMap((row) => {
            const more = detail?.(row.original);
            return [
              <Table.Tr key={row.id}>
                {row.getAllCells().map((cell) => {
                  const column = byId.get(cell.column.id) as Column<T>;
                  return (
                    <Table.Td
                      key={cell.id}
                      ta={column.align}
                      className={column.align ? "figures" : undefined}
                      visibleFrom={column.visibleFrom}
                    >
                      <table.FlexRender cell={cell} />
                    </Table.Td>
                  );
                })}
              </Table.Tr>,
              more ? (
                <Table.Tr key={`${row.id} detail`} style={{ background: "var(--vautn-page)" }}>
                  <Table.Td colSpan={columns.length}>{more}</Table.Td>
                </Table.Tr>
              ) : null,
            ];
          })}
        </Table.Tbody>
      </Table>
    </Table.ScrollContainer>
  );
}

interface HeaderCellProps<T> {
  column: Column<T>;
  sort: string | undefined;
  onSort: ((sort: string) => void) | undefined;
}

function HeaderCell<T>({ column, sort, onSort }: HeaderCellProps<T>) {
  const { sortKey } = column;
  const ascending = sortKey !== undefined && sort === sortKey;
  const descending = sortKey !== undefined && sort === `-${sortKey}`;
  const Icon = ascending ? IconChevronUp : descending ? IconChevronDown : IconSelector;
  return (
    <Table.Th
      ta={column.align}
      visibleFrom={column.visibleFrom}
      w={column.width}
      fz="xs"
      c="dimmed"
      fw={550}
      aria-sort={ascending ? "ascending" : descending ? "descending" : undefined}
      style={{ whiteSpace: "nowrap" }}
    >
      {sortKey && onSort ? (
        <UnstyledButton
          fz="xs"
          fw={ascending || descending ? 700 : 550}
          onClick={() => onSort(ascending ? `-${sortKey}` : sortKey)}
        >
          <Group gap={2} wrap="nowrap">
            {column.header}
            <Icon size={13} aria-hidden />
          </Group>
        </UnstyledButton>
      ) : (
        column.header || <VisuallyHidden>Actions</VisuallyHidden>
      )}
    </Table.Th>
  );
}
