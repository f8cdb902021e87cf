import type { Command } from "commander";
import type { CallInput, Operations } from "../../client/index.ts";
import { type Cli, type CommonOptions, group, leaf } from "../cli.ts";
import { CliError } from "../cli-error.ts";
import { ago, table } from "../output.ts";
import type { Session } from "../session.ts";
import { readYaml } from "../yaml-file.ts";

type Spec = CallInput<"createAlertRule">["body"];
type Rule = Operations["listAlertRules"]["answer"]["items"][number];
type FileOptions = CommonOptions & { file: string };

export function alertRuleCommands(alerts: Command, cli: Cli): void {
  const rules = group(alerts, "rules", "what raises alerts", "vautn alerts rules list");
  readingCommands(rules, cli);

  leaf(rules, {
    usage: "apply",
    summary: "make the rule that a YAML file describes, or change the one of that name",
    example: "vautn alerts rules apply -f hot.yaml",
    data: true,
    tenant: true,
  })
    .requiredOption("-f, --file <file>", "YAML or JSON: name, severity, source, condition, ...")
    .action(async (options: FileOptions) => {
      const session = cli.session(options);
      const body = (await readYaml(options.file)) as Spec;
      const known = (await session.call("listAlertRules")).items;
      const found = known.find(({ spec }) => spec.name === body.name);
      const rule = found
        ? await session.call("replaceAlertRule", { params: { rule: found.id }, body })
        : await session.call("createAlertRule", { body });
      cli.print(options, rule, () => `${rule.id}\n`);
      cli.note(found ? "the rule was changed" : "the rule was made");
    });

  leaf(rules, {
    usage: "test",
    summary: "what the rule of a file would see now; nothing is raised",
    example: "vautn alerts rules test -f hot.yaml",
    data: true,
    tenant: true,
  })
    .requiredOption("-f, --file <file>", "YAML or JSON")
    .action(async (options: FileOptions) => {
      const body = (await readYaml(options.file)) as Spec;
      const preview = await cli.session(options).call("previewAlertRule", { body });
      cli.print(options, preview, () => {
        const rows = preview.items.map(({ key, value, holds }) => [
          key || "(fleet)",
          Number(value.toPrecision(4)),
          holds ? "yes" : "no",
        ]);
        const { samples, holding } = preview;
        const many = preview.isCollapsed ? "; one alert would speak for all of them" : "";
        if (samples === 0) return "nothing has such a figure yet: the rule sees no one\n";
        const sum = `${holding} of ${samples} fulfil the condition${many}\n`;
        return rows.length > 0 ? `${table(["WHAT", "FIGURE", "HOLDS"], rows)}${sum}` : sum;
      });
    });

  leaf(rules, {
    usage: "delete <rule>",
    summary: "by its id or name; its alerts are resolved with it",
    example: "vautn alerts rules delete Hot",
    tenant: true,
  }).action(async (which: string, options: CommonOptions) => {
    const session = cli.session(options);
    const { id } = await findRule(session, which);
    await session.call("deleteAlertRule", { params: { rule: id } });
    cli.note("the rule was deleted");
  });
}

function readingCommands(rules: Command, cli: Cli): void {
  leaf(rules, {
    usage: "list",
    summary: "rules of the tenant with their state",
    example: "vautn alerts rules list",
    data: true,
    tenant: true,
  }).action(async (options: CommonOptions) => {
    const page = await cli.session(options).call("listAlertRules");
    const render = (items: Rule[]) =>
      table(
        ["RULE", "NAME", "ON", "SEVERITY", "STATE", "FIRING", "EVALUATED"],
        items.map(({ id, spec, state, firing, evaluatedAt, lastError }) => [
          id,
          spec.name,
          spec.source.kind,
          spec.severity,
          lastError ? `${state}: ${lastError}` : state,
          firing,
          evaluatedAt ? ago(evaluatedAt) : "-",
        ]),
      );
    cli.printList(options, page, render, "No rules yet. Next: vautn alerts rules apply -f FILE");
  });

  leaf(rules, {
    usage: "show <rule>",
    summary: "by its id or name, as the YAML file that would make it",
    example: "vautn alerts rules show Hot > hot.yaml",
    data: true,
    tenant: true,
  }).action(async (which: string, options: CommonOptions) => {
    const rule = await findRule(cli.session(options), which);
    const { stringify } = await import("yaml");
    cli.print(options, rule, () => stringify(rule.spec));
  });
}

async function findRule(session: Session, which: string): Promise<Rule> {
  const { items } = await session.call("listAlertRules");
  const found = items.find(({ id, spec }) => id === which || spec.name === which);
  if (!found)
    throw new CliError(`there is no rule "${which}"`, { next: "vautn alerts rules list" });
  return found;
}
