import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useMemo, useRef } from "react";
import uPlot from "uplot";
import { formatTicks } from "../../components/format.ts";
import type { Mark } from "./marks.ts";
import { EARLIER_DASH, lineColor, lineDash } from "./palette.ts";

export interface Line {
  key: string;
  name: string;
  points: readonly (readonly (number | null)[])[];
  /** Which colour it has; its place among the lines where it is left out. */
  color?: number;
  /** It is of an earlier time, for comparison. */
  isEarlier?: boolean;
}

interface SeriesChartProps {
  lines: readonly Line[];
  /** Keys of lines that are not drawn. */
  hidden: ReadonlySet<string>;
  marks: readonly Mark[];
  from: number;
  to: number;
  unit: string;
  label: string;
  width: number;
  height: number;
  /** A part of time was drawn over, in milliseconds since the epoch. */
  onZoom(from: number, to: number): void;
  /** What is under the pointer: the values of all lines, and undefined when it has left. */
  onPoint(moment: { at: number; values: (number | null | undefined)[] } | undefined): void;
}

/** Values of many series on one axis; drawing over a part of it zooms in. */
export function SeriesChart(props: SeriesChartProps) {
  const { lines, hidden, from, to, unit, label, width, height } = props;
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const isDark = useComputedColorScheme() === "dark";
  const held = useRef(props);
  held.current = props;
  const data = useMemo(() => columnsOf(lines), [lines]);
  const looks = lines.map(({ key }) => key).join("\n");

  // Made anew only where its lines or looks change; data, time and size are handed to it.
  // biome-ignore lint/correctness/useExhaustiveDependencies: data and size have effects of their own
  useEffect(() => {
    if (!host.current) return;
    chart.current = new uPlot(
      optionsOf(held, { isDark, width, height, unit, lines }),
      data,
      host.current,
    );
    return () => {
      chart.current?.destroy();
      chart.current = null;
    };
  }, [isDark, looks, unit]);
  useEffect(() => chart.current?.setSize({ width, height }), [width, height]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: the scale follows the time
  useEffect(() => chart.current?.setData(data), [data, from, to]);
  // biome-ignore lint/correctness/useExhaustiveDependencies: what is drawn reads the marks of the last render
  useEffect(() => chart.current?.redraw(false), [props.marks]);
  useEffect(() => {
    for (const [index, { key }] of lines.entries()) {
      chart.current?.setSeries(index + 1, { show: !hidden.has(key) });
    }
  }, [lines, hidden]);

  return <div ref={host} role="img" aria-label={label} />;
}

interface Looks {
  isDark: boolean;
  width: number;
  height: number;
  unit: string;
  lines: readonly Line[];
}

const MANY_POINTS = 2_000;

function optionsOf(held: { current: SeriesChartProps }, looks: Looks): uPlot.Options {
  const { isDark, width, height, unit, lines } = looks;
  const axis = {
    stroke: isDark ? "#8fa09f" : "#65736f",
    grid: { stroke: isDark ? "#243134" : "#ebefed", width: 1 },
    ticks: { show: false },
    font: "11px 'Inter Variable', sans-serif",
  };
  return {
    ...{ width, height },
    legend: { show: false },
    cursor: { drag: { x: true, y: false, setScale: false }, points: { size: 7 }, y: false },
    scales: {
      x: {
        time: true,
        range: () => [held.current.from / 1000, held.current.to / 1000],
      },
      y: { range: (_, least, greatest) => uPlot.rangeNum(least, greatest, 0.1, true) },
    },
    axes: [
      {
        ...axis,
        space: 80,
        size: 30,
        values: (_, ticks, _a, _s, step) => ticks.map((at) => clock(at, step)),
      },
      {
        ...axis,
        size: 58,
        ...(unit
          ? { label: unit, labelSize: 20, labelFont: "12px 'Inter Variable', sans-serif" }
          : {}),
        values: (_, ticks) => formatTicks(ticks),
      },
    ],
    series: [
      {},
      ...lines.map(({ name, points, isEarlier, ...line }, index) => ({
        label: name,
        stroke: lineColor(line.color ?? index, isDark),
        dash: isEarlier ? EARLIER_DASH : lineDash(line.color ?? index),
        width: lines.length > 20 ? 1 : isEarlier ? 1.25 : 1.75,
        // Left to the chart where few: a value without neighbours is drawn as a point.
        points: lines.length > 20 || points.length > MANY_POINTS ? { show: false } : { size: 4 },
        show: !held.current.hidden.has(lines[index]?.key ?? ""),
      })),
    ],
    hooks: {
      drawClear: [(plot) => drawMarks(plot, held.current.marks, axis.stroke)],
      setSelect: [
        (plot) => {
          const { left, width: wide } = plot.select;
          if (wide < 6) return;
          const at = (x: number) => Math.round(plot.posToVal(x, "x") * 1000);
          held.current.onZoom(at(left), at(left + wide));
          plot.setSelect({ left: 0, top: 0, width: 0, height: 0 }, false);
        },
      ],
      setCursor: [
        (plot) => {
          const { idx } = plot.cursor;
          const at = idx == null ? undefined : plot.data[0][idx];
          if (idx == null || at === undefined) return held.current.onPoint(undefined);
          const values = plot.data.slice(1).map((column) => column[idx]);
          held.current.onPoint({ at: at * 1000, values });
        },
      ],
    },
  };
}

/** A thin line at each moment, and its number on top: the list below says what it is. */
function drawMarks({ ctx, bbox, valToPos }: uPlot, marks: readonly Mark[], color: string): void {
  const ratio = uPlot.pxRatio;
  ctx.save();
  ctx.strokeStyle = color;
  ctx.fillStyle = color;
  ctx.lineWidth = ratio;
  ctx.setLineDash([4 * ratio, 3 * ratio]);
  ctx.font = `${10 * ratio}px 'Inter Variable', sans-serif`;
  ctx.textAlign = "center";
  for (const [index, { at }] of marks.entries()) {
    const x = Math.round(valToPos(at / 1000, "x", true));
    if (!(x >= bbox.left && x <= bbox.left + bbox.width)) continue;
    ctx.beginPath();
    ctx.moveTo(x, bbox.top);
    ctx.lineTo(x, bbox.top + bbox.height);
    ctx.stroke();
    ctx.fillText(String(index + 1), x, bbox.top - 3 * ratio);
  }
  ctx.restore();
}

const DAY_SECONDS = 86_400;
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const MINUTES = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", { timeStyle: "medium" });

function clock(atSeconds: number, stepSeconds: number): string {
  const format = stepSeconds >= DAY_SECONDS ? DATE : stepSeconds < 60 ? SECONDS : MINUTES;
  return format.format(atSeconds * 1000);
}

/** One column of times and one of values for each line. */
function columnsOf(lines: readonly Line[]): uPlot.AlignedData {
  const tables = lines.map(({ points }): uPlot.AlignedData => {
    const times: number[] = [];
    const values: (number | null)[] = [];
    const gap = usualDistance(points) * GAP_FACTOR;
    let before: number | undefined;
    for (const [ts, value] of points) {
      const at = ts ?? 0;
      if (before !== undefined && gap > 0 && at - before > gap) {
        times.push((before + 1) / 1000);
        values.push(null);
      }
      times.push(at / 1000);
      values.push(value ?? null);
      before = at;
    }
    return [times, values];
  });
  if (tables.length === 0) return [[]];
  // A gap reaches to its line's next value, though others have values between (2: expand).
  return uPlot.join(
    tables,
    tables.map((): [1, 2] => [1, 2]),
  );
}

/** A gap of more than this many usual distances is shown as a gap. */
const GAP_FACTOR = 4;

function usualDistance(points: Line["points"]): number {
  const distances = points.slice(1).map(([ts], index) => (ts ?? 0) - (points[index]?.[0] ?? 0));
  distances.sort((a, b) => a - b);
  return distances[Math.floor(distances.length / 2)] ?? 0;
}
