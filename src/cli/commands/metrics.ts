import type { Command } from "commander";
import type { MetricDeclaration } from "../../protocol/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { misuse } from "../cli-error.ts";
import { facts, table } from "../output.ts";

interface SetOptions extends CommonOptions {
  type: string;
  unit?: string;
  description?: string;
  min?: string;
  max?: string;
  decimals?: string;
}

const TYPES = ["number", "integer", "boolean", "string", "position"] as const;

/** What a product's devices measure: type, unit, range, decimals. */
export function metricCommands(telemetry: Command, cli: Cli): void {
  const metrics = group(
    telemetry,
    "metrics",
    "what the devices of a product measure, as you declare it",
    'vautn telemetry metrics set hub temperature --unit "°C" --decimals 2',
  );

  leaf(metrics, {
    usage: "list [product]",
    summary: "declared metrics, of one product or of all",
    example: "vautn telemetry metrics list hub",
    data: true,
    tenant: true,
  }).action(async (product: string | undefined, options: CommonOptions) => {
    const all = await cli.session(options).call("listDeclaredMetrics", { params: {} });
    const items = all.items.filter((one) => product === undefined || one.product === product);
    const hint = "No metrics are declared. Next: vautn telemetry metrics set <product> <name>";
    cli.printList(options, { items }, (list) => metricTable(list), hint);
  });

  leaf(metrics, {
    usage: "describe <product> <name>",
    summary: "all that is declared of one metric",
    example: "vautn telemetry metrics describe hub temperature",
    data: true,
    tenant: true,
  }).action(async (product: string, name: string, options: CommonOptions) => {
    const known = await cli.session(options).call("getProductMetrics", { params: { product } });
    const metric = known.items.find((one) => one.name === name);
    if (!metric) {
      throw misuse(
        `${product} declares no metric ${name}`,
        `vautn telemetry metrics list ${product}`,
      );
    }
    cli.print(options, metric, () =>
      facts([
        ["metric", metric.name],
        ["product", product],
        ["type", metric.type],
        ["unit", metric.unit || "none"],
        ["description", metric.description || "none"],
        ["range", rangeOf(metric) || "any"],
        ["decimals", metric.decimals === undefined ? "any" : String(metric.decimals)],
      ]),
    );
  });

  leaf(metrics, {
    usage: "set <product> <name>",
    summary: "declare a metric, or declare it anew",
    example: 'vautn telemetry metrics set hub temperature --unit "°C" --min -40 --decimals 2',
    data: true,
    tenant: true,
  })
    .option("--type <type>", TYPES.join(", "), "number")
    .option("--unit <unit>", "such as °C or km/h")
    .option("--description <text>", "for people")
    .option("--min <value>", "smaller values are refused")
    .option("--max <value>", "greater values are refused")
    .option("--decimals <count>", "digits behind the point, at most: takes a third of the room")
    .action(async (product: string, name: string, options: SetOptions) => {
      const item = declarationOf(name, options);
      const known = await cli
        .session(options)
        .call("patchProductMetrics", { params: { product }, body: { items: [item] } });
      cli.print(options, known, () => `${product} declares ${known.items.length} metrics`);
    });

  leaf(metrics, {
    usage: "remove <product> <names...>",
    summary: "declare metrics no more; their values stay",
    example: "vautn telemetry metrics remove hub temperature",
    data: true,
    tenant: true,
  }).action(async (product: string, names: string[], options: CommonOptions) => {
    const known = await cli
      .session(options)
      .call("patchProductMetrics", { params: { product }, body: { remove: names } });
    cli.print(options, known, () => `${product} declares ${known.items.length} metrics`);
  });
}

function declarationOf(name: string, options: SetOptions): MetricDeclaration {
  const type = TYPES.find((one) => one === options.type);
  if (!type) throw misuse(`${options.type} is no type`, `one of ${TYPES.join(", ")}`);
  const minimum = numberOf("--min", options.min);
  const maximum = numberOf("--max", options.max);
  const decimals = numberOf("--decimals", options.decimals);
  return {
    ...{ name, type },
    ...(options.unit === undefined ? {} : { unit: options.unit }),
    ...(options.description === undefined ? {} : { description: options.description }),
    ...(minimum === undefined ? {} : { minimum }),
    ...(maximum === undefined ? {} : { maximum }),
    ...(decimals === undefined ? {} : { decimals }),
  };
}

function numberOf(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  const value = Number(text);
  if (text.trim() === "" || !Number.isFinite(value)) throw misuse(`${option} takes a number`);
  return value;
}

function rangeOf({ minimum, maximum }: { minimum?: number; maximum?: number }): string {
  if (minimum === undefined && maximum === undefined) return "";
  return `${minimum ?? "…"} to ${maximum ?? "…"}`;
}

function metricTable(items: ({ product: string } & MetricDeclaration)[]): string {
  return table(
    ["PRODUCT", "METRIC", "TYPE", "UNIT", "RANGE", "DESCRIPTION"],
    items.map((one) => [
      one.product,
      one.name,
      one.type,
      one.unit ?? "",
      rangeOf(one),
      one.description ?? "",
    ]),
  );
}
