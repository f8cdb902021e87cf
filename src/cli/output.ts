import Table from "cli-table3";

export interface Output {
  print(text: string): void;
  /** For people, beside the data: standard error. */
  note(text: string): void;
  json(value: unknown): void;
}

export const standardOutput: Output = {
  print: (text) => process.stdout.write(`${text}\n`),
  note: (text) => process.stderr.write(`${text}\n`),
  json: (value) => process.stdout.write(`${JSON.stringify(value, null, 2)}\n`),
};

/** Rows under a head without rules between them: readable, and easy to cut in a pipe. */
export function tableOf(head: string[], rows: (string | number | null | undefined)[][]): string {
  const table = new Table({
    head,
    style: { head: [], border: [], "padding-left": 0, "padding-right": 2 },
    chars: Object.fromEntries(
      [
        "top",
        "top-mid",
        "top-left",
        "top-right",
        "bottom",
        "bottom-mid",
        "bottom-left",
        "bottom-right",
        "left",
        "left-mid",
        "mid",
        "mid-mid",
        "right",
        "right-mid",
        "middle",
      ].map((name) => [name, ""]),
    ),
  });
  table.push(...rows.map((row) => row.map((cell) => String(cell ?? "-"))));
  return table.toString();
}
