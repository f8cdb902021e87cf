import "uplot/dist/uPlot.min.css";
import { useComputedColorScheme } from "@mantine/core";
import { useEffect, useRef } from "react";
import uPlot from "uplot";
import type { SeriesPoint } from "../../api/index.ts";
import { formatFigure, formatTicks } from "../../components/format.ts";

interface BandChartProps {
  points: SeriesPoint[];
  /** The time axis, in milliseconds, also where nothing was measured. */
  from: number;
  to: number;
  width: number;
  height: number;
  label: string;
  /** A moment and a value to be seen against it. */
  mark?: { ts: number; usual: number | undefined };
}

/** A gap of more than this many usual distances is shown as a gap. */
const GAP_FACTOR = 4;

export function BandChart(props: BandChartProps) {
  const { points, from, to, width, height, label, mark } = props;
  const host = useRef<HTMLDivElement>(null);
  const chart = useRef<uPlot>(null);
  const scheme = useComputedColorScheme();
  const range = useRef<[number, number]>([from / 1000, to / 1000]);
  range.current = [from / 1000, to / 1000];

  // The chart is made anew only when its looks change; data and size are handed to it.
  // biome-ignore lint/correctness/useExhaustiveDependencies: data and size have effects of their own
  useEffect(() => {
    if (!host.current) return;
    chart.current = new uPlot(
      optionsOf({ label, width, height, dark: scheme === "dark", range, mark }),
      columnsOf(points),
      host.current,
    );
    return () => chart.current?.destroy();
  }, [scheme, label]);
  useEffect(() => chart.current?.setSize({ width, height }), [width, height]);
  useEffect(() => chart.current?.setData(columnsOf(points)), [points]);

  return <div ref={host} role="img" aria-label={`${label} over time`} />;
}

interface Looks {
  label: string;
  width: number;
  height: number;
  dark: boolean;
  range: { current: [number, number] };
  mark: BandChartProps["mark"];
}

function optionsOf({ label, width, height, dark, range, mark }: Looks): uPlot.Options {
  const ink = dark ? "#8fa09f" : "#65736f";
  const grid = { stroke: dark ? "#243134" : "#ebefed", width: 1 };
  const line = dark ? "#5cb3be" : "#176a76";
  const edge = { stroke: "transparent", points: { show: false } };
  const axis = {
    stroke: ink,
    grid,
    ticks: { show: false },
    font: "11px 'Inter Variable', sans-serif",
  };
  const value = (_: uPlot, figure: number | null) => (figure == null ? "–" : formatFigure(figure));
  return {
    width,
    height,
    legend: { live: true },
    cursor: { sync: { key: "device-telemetry" }, points: { size: 6 }, y: false },
    scales: {
      x: { time: true, range: () => range.current },
      y: { range: (_, least, greatest) => withUsual(least, greatest, mark?.usual) },
    },
    hooks: {
      ...(mark ? { draw: [(chart) => drawMark(chart, mark, dark ? "#e8a06c" : "#b4531f")] } : {}),
      setData: [showNewest],
      ready: [showNewest],
      setCursor: [(chart) => chart.cursor.idx == null && showNewest(chart)],
    },
    axes: [
      {
        ...axis,
        space: 70,
        size: 30,
        values: (_, ticks, _axis, _space, step) => ticks.map((at) => clock(at, step)),
      },
      { ...axis, size: 54, values: (_, ticks) => formatTicks(ticks) },
    ],
    series: [
      { label: "time", value: "{YYYY}-{MM}-{DD} {HH}:{mm}:{ss}" },
      { label: "least", value, ...edge },
      { label: "greatest", value, ...edge },
      { label: `mean of ${label}`, value, stroke: line, width: 1.75, points: { size: 4 } },
    ],
    bands: [{ series: [2, 1], fill: dark ? "rgba(92,179,190,0.22)" : "rgba(33,128,141,0.16)" }],
  };
}

/** Until the pointer is over the chart, the words below it say the newest values. */
function showNewest(chart: uPlot): void {
  const idx = chart.data[0].length - 1;
  if (idx >= 0 && chart.cursor.idx == null) chart.setLegend({ idx }, false);
}

/** The value axis, wide enough for what would have been usual. */
function withUsual(least: number, greatest: number, usual: number | undefined): [number, number] {
  const [low, high] = [Math.min(least, usual ?? least), Math.max(greatest, usual ?? greatest)];
  return uPlot.rangeNum(low, high, 0.1, true) as [number, number];
}

/** An upright line at the moment, and a dashed one at what would have been usual. */
function drawMark(chart: uPlot, { ts, usual }: Mark, color: string): void {
  const { ctx, bbox } = chart;
  const line = (x1: number, y1: number, x2: number, y2: number, dash: number[]) => {
    ctx.beginPath();
    ctx.setLineDash(dash.map((length) => length * devicePixelRatio));
    ctx.moveTo(x1, y1);
    ctx.lineTo(x2, y2);
    ctx.stroke();
  };
  ctx.save();
  ctx.strokeStyle = color;
  ctx.lineWidth = 1.5 * devicePixelRatio;
  const x = chart.valToPos(ts / 1000, "x", true);
  line(x, bbox.top, x, bbox.top + bbox.height, []);
  if (usual !== undefined) {
    const y = chart.valToPos(usual, "y", true);
    line(bbox.left, y, bbox.left + bbox.width, y, [5, 4]);
  }
  ctx.restore();
}

type Mark = NonNullable<BandChartProps["mark"]>;

const DAY_SECONDS = 86_400;
const DATE = new Intl.DateTimeFormat("en-GB", { day: "numeric", month: "short" });
const MINUTES = new Intl.DateTimeFormat("en-GB", { hour: "2-digit", minute: "2-digit" });
const SECONDS = new Intl.DateTimeFormat("en-GB", {
  hour: "2-digit",
  minute: "2-digit",
  second: "2-digit",
});

/** A mark of the time axis, as fine as the distance between the marks asks for. */
function clock(atSeconds: number, stepSeconds: number): string {
  const format = stepSeconds >= DAY_SECONDS ? DATE : stepSeconds < 60 ? SECONDS : MINUTES;
  return format.format(atSeconds * 1000);
}

/** Columns as uPlot wants them, with empty places where the device was silent. */
function columnsOf(points: SeriesPoint[]): uPlot.AlignedData {
  const times: number[] = [];
  const least: (number | null)[] = [];
  const greatest: (number | null)[] = [];
  const mean: (number | null)[] = [];
  const gap = usualDistance(points) * GAP_FACTOR;
  points.forEach((point, index) => {
    const before = points[index - 1];
    if (before && gap > 0 && point.ts - before.ts > gap) {
      times.push((before.ts + 1) / 1000);
      least.push(null);
      greatest.push(null);
      mean.push(null);
    }
    times.push(point.ts / 1000);
    least.push(point.min);
    greatest.push(point.max);
    mean.push(point.mean);
  });
  return [times, least, greatest, mean];
}

function usualDistance(points: SeriesPoint[]): number {
  const distances = points.slice(1).map((point, index) => point.ts - (points[index]?.ts ?? 0));
  distances.sort((a, b) => a - b);
  return distances[Math.floor(distances.length / 2)] ?? 0;
}
