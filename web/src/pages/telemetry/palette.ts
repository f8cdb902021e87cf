/** Colours of lines beside one another, told apart also by who sees few colours. */
const LIGHT = [
  "#176a76",
  "#b4531f",
  "#5b4bb0",
  "#468a35",
  "#a87103",
  "#a8326e",
  "#2b62b8",
  "#65736f",
  "#0f8f83",
  "#7d3214",
];
const DARK = [
  "#5cb3be",
  "#ec9a6b",
  "#a79af0",
  "#8fcf7c",
  "#efc04f",
  "#ee86b9",
  "#7fb0f5",
  "#a3b1b0",
  "#4fd1c3",
  "#d68a6c",
];

export function lineColor(index: number, isDark: boolean): string {
  const colors = isDark ? DARK : LIGHT;
  return colors[index % colors.length] as string;
}

/** A short piece of the line, as it is drawn, for a legend: a CSS background. */
export function lineSample(index: number, isDark: boolean, isEarlier = false): string {
  const color = lineColor(index, isDark);
  if (isEarlier) return `repeating-linear-gradient(90deg, ${color} 0 2px, transparent 2px 5px)`;
  if (lineDash(index).length === 0) return color;
  const dash = index >= 2 * LIGHT.length ? "2px" : "4px";
  return `repeating-linear-gradient(90deg, ${color} 0 ${dash}, transparent ${dash} calc(${dash} + 2px))`;
}

/** From the second round of colours on, lines are dashed. */
export function lineDash(index: number): number[] {
  const round = Math.floor(index / LIGHT.length);
  return round === 0 ? [] : [4 + 3 * round, 4];
}

/** Of a line of an earlier time. */
export const EARLIER_DASH = [5, 4];
