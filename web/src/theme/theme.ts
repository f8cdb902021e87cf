import {
  type CSSVariablesResolver,
  createTheme,
  Drawer,
  type MantineColorsTuple,
  Modal,
  Paper,
  Tabs,
  Tooltip,
} from "@mantine/core";

/** The house colour: petrol, calm in both schemes. */
const fjord: MantineColorsTuple = [
  "#eef7f8",
  "#d9edef",
  "#b1dbe0",
  "#84c7cf",
  "#5cb3be",
  "#3d9fac",
  "#21808d",
  "#176a76",
  "#12565f",
  "#0c4148",
];

/** Things that are well. */
const moss: MantineColorsTuple = [
  "#f0f7ee",
  "#dfeeda",
  "#bedcb4",
  "#9ac98b",
  "#7ab868",
  "#62a84f",
  "#468a35",
  "#376f2a",
  "#2c5823",
  "#21421b",
];

/** Things that wait for somebody, or are late. */
const amber: MantineColorsTuple = [
  "#fff8e8",
  "#fdeecb",
  "#f9dc97",
  "#f4c75d",
  "#efb431",
  "#dc9c10",
  "#a87103",
  "#875a03",
  "#6b4804",
  "#4f3504",
];

/** Things that went wrong. Red itself is kept for buttons that destroy. */
const ember: MantineColorsTuple = [
  "#fff2ec",
  "#fde1d4",
  "#f9c1a8",
  "#f39d78",
  "#ec7d50",
  "#e06533",
  "#bf4b1d",
  "#9b3d17",
  "#7d3214",
  "#5c250f",
];

const gray: MantineColorsTuple = [
  "#f5f7f6",
  "#ebefed",
  "#dfe5e2",
  "#cdd6d2",
  "#b0bcb8",
  "#8b9994",
  "#65736f",
  "#4f5b58",
  "#38433f",
  "#222b29",
];

const dark: MantineColorsTuple = [
  "#d7e1e0",
  "#b3c0bf",
  "#8fa09f",
  "#64767a",
  "#3d4d50",
  "#2c3a3d",
  "#202c2f",
  "#172124",
  "#10181a",
  "#0a1011",
];

/** A cross says nothing to who hears the page. */
const closeButtonProps = { "aria-label": "Close" };

export const theme = createTheme({
  colors: { fjord, moss, amber, ember, gray, dark },
  primaryColor: "fjord",
  primaryShade: { light: 7, dark: 6 },
  fontFamily: "'Inter Variable', system-ui, sans-serif",
  fontFamilyMonospace: "ui-monospace, 'SF Mono', 'JetBrains Mono', 'DejaVu Sans Mono', monospace",
  headings: { fontFamily: "'Inter Variable', system-ui, sans-serif", fontWeight: "650" },
  defaultRadius: "md",
  cursorType: "pointer",
  respectReducedMotion: true,
  components: {
    Paper: Paper.extend({ defaultProps: { withBorder: true, radius: "lg" } }),
    Tooltip: Tooltip.extend({ defaultProps: { withArrow: true, openDelay: 250, multiline: true } }),
    Modal: Modal.extend({
      defaultProps: { radius: "lg", centered: true, overlayProps: { blur: 2 }, closeButtonProps },
    }),
    Drawer: Drawer.extend({ defaultProps: { closeButtonProps } }),
    // One row everywhere, which is pulled sideways where there is no room.
    Tabs: Tabs.extend({
      styles: {
        list: { flexWrap: "nowrap", overflowX: "auto", overflowY: "hidden" },
        tab: { flexShrink: 0 },
      },
    }),
  },
});

const TONES = ["fjord", "moss", "amber", "ember", "gray", "red"] as const;

/** Mantine's light variant all but vanishes on a dark page. */
function tintsForDark(colors: Record<string, readonly string[] | undefined>) {
  return Object.fromEntries(
    TONES.flatMap((name) => {
      const strong = colors[name]?.[5] ?? "";
      const bright = colors[name]?.[3] ?? "";
      return [
        [`--mantine-color-${name}-light`, `color-mix(in srgb, ${strong} 20%, transparent)`],
        [`--mantine-color-${name}-light-hover`, `color-mix(in srgb, ${strong} 28%, transparent)`],
        [`--mantine-color-${name}-light-color`, bright],
      ];
    }),
  );
}

/** The page lies a shade below the cards; the rest follows Mantine. */
export const cssVariables: CSSVariablesResolver = (resolved) => ({
  variables: { "--mantine-color-error": "var(--vautn-bad-text)" },
  light: {
    "--vautn-page": resolved.colors.gray[0],
    "--vautn-card": "#ffffff",
    "--vautn-line": resolved.colors.gray[2],
    "--mantine-color-text": resolved.colors.gray[9],
    "--mantine-color-dimmed": resolved.colors.gray[6],
    "--mantine-color-default-border": resolved.colors.gray[3],
    "--vautn-ok": resolved.colors.moss?.[5] ?? "",
    "--vautn-late": resolved.colors.amber?.[4] ?? "",
    "--vautn-bad": resolved.colors.ember?.[5] ?? "",
    // As words on paper: 4.5 to 1 and more, which the fills do not reach (WCAG 2.2, 1.4.3).
    "--vautn-ok-text": resolved.colors.moss?.[7] ?? "",
    "--vautn-bad-text": resolved.colors.ember?.[6] ?? "",
    "--vautn-idle": resolved.colors.gray[3],
    "--vautn-busy": resolved.colors.fjord?.[5] ?? "",
  },
  dark: {
    ...tintsForDark(resolved.colors),
    "--vautn-page": resolved.colors.dark[8],
    "--vautn-card": resolved.colors.dark[7],
    "--vautn-line": resolved.colors.dark[5],
    "--mantine-color-text": resolved.colors.dark[0],
    "--mantine-color-dimmed": resolved.colors.dark[2],
    "--mantine-color-default-border": resolved.colors.dark[4],
    "--mantine-color-anchor": resolved.colors.fjord?.[3] ?? "",
    "--vautn-ok": resolved.colors.moss?.[5] ?? "",
    "--vautn-late": resolved.colors.amber?.[5] ?? "",
    "--vautn-bad": resolved.colors.ember?.[5] ?? "",
    "--vautn-ok-text": resolved.colors.moss?.[4] ?? "",
    "--vautn-bad-text": resolved.colors.ember?.[4] ?? "",
    "--vautn-idle": resolved.colors.dark[4],
    "--vautn-busy": resolved.colors.fjord?.[5] ?? "",
  },
});
