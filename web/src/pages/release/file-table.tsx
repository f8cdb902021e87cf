import { Text } from "@mantine/core";
import type { ReleaseDetailView } from "../../api/index.ts";
import { Hash } from "../../components/copy-text.tsx";
import { DataTable } from "../../components/data-table.tsx";
import { formatBytes } from "../../components/format.ts";

interface FileRow {
  what: string;
  name: string;
  kind: string;
  sizeBytes: number;
  sha256: string;
}

const DOCUMENTS = { sbom: "Bill of materials", provenance: "Provenance" };

/** Everything that the signed manifest names. */
export function FileTable({ release }: { release: ReleaseDetailView }) {
  const { image, components = [] } = release.envelope.signed;
  const kinds = new Map(components.map(({ component, kind }) => [component, kind ?? ""]));
  const rows: FileRow[] = [
    { what: "Image", ...image, kind: describeKind(image) },
    ...release.files.map((file) => ({
      what: file.role === "component" ? file.component : DOCUMENTS[file.role],
      ...file,
      kind: kinds.get(file.component) ?? "JSON",
    })),
  ];
  return (
    <DataTable
      caption="Files"
      rows={rows}
      rowId={(row) => row.what}
      columns={[
        {
          id: "what",
          header: "File",
          cell: (row) => (
            <>
              <Text size="sm" fw={550}>
                {row.what}
              </Text>
              <Text size="xs" c="dimmed" style={{ overflowWrap: "anywhere" }}>
                {row.name}
              </Text>
            </>
          ),
        },
        { id: "kind", header: "Kind", visibleFrom: "sm", cell: (row) => row.kind },
        { id: "size", header: "Size", align: "right", cell: (row) => formatBytes(row.sizeBytes) },
        {
          id: "hash",
          header: "SHA-256",
          visibleFrom: "sm",
          cell: (row) => <Hash sha256={row.sha256} />,
        },
      ]}
    />
  );
}

function describeKind({ kind = "raw", facts = {} }: { kind?: string; facts?: object }): string {
  const said = Object.entries(facts).slice(0, 3);
  return [kind, ...said.map(([name, value]) => `${name} ${value}`)].join(" · ");
}
