/** Prints one figure as a line of JSON; `ratio` is this figure by that of `against`. */
export function report(
  name: string,
  value: number,
  unit: string,
  against?: string,
  ratio?: number,
): void {
  const rounded = (number: number) => Number(number.toPrecision(5));
  console.log(
    JSON.stringify({
      name,
      value: rounded(value),
      unit,
      ratio: ratio === undefined ? null : rounded(ratio),
      against: against ?? null,
    }),
  );
}
