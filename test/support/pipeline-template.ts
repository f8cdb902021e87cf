import { parse } from "yaml";

/** One job of a pipeline as a runner would carry it out: variables and shell steps, in order. */
export interface PipelineJob {
  environment: Record<string, string>;
  steps: string[];
}

interface GithubStep {
  name?: string;
  uses?: string;
  run?: string;
  env?: Record<string, string>;
  with?: Record<string, unknown>;
}

/**
 * The shell steps of a GitHub workflow, each with the variables that GitHub would set for it. Throws
 * where the file is no workflow: https://docs.github.com/actions/reference/workflow-syntax.
 */
export function readGithubWorkflow(text: string, values: Record<string, string>): PipelineJob[] {
  const workflow = parse(text) as Record<string, unknown>;
  const known = ["name", "on", "permissions", "env", "jobs"];
  assert(
    Object.keys(workflow).every((key) => known.includes(key)),
    "unknown keys of a workflow",
  );
  assert(typeof workflow.on === "object" && workflow.on !== null, "it begins by no event");
  const jobs = Object.values(workflow.jobs as Record<string, Record<string, unknown>>);
  assert(jobs.length > 0, "it has no jobs");
  return jobs.map((job) => {
    assert(typeof job["runs-on"] === "string", "a job runs on nothing");
    const steps = job.steps as GithubStep[];
    for (const step of steps) {
      assert((step.uses === undefined) !== (step.run === undefined), "a step uses or runs");
      // Pinned to a version: what moves under one's feet is no part of a chain of trust.
      if (step.uses)
        assert(/^[\w.-]+\/[\w./-]+@v?\w+/.test(step.uses), `${step.uses} has no version`);
    }
    const common = fill(workflow.env as Record<string, string>, values);
    return {
      environment: common,
      steps: steps
        .filter((step) => step.run !== undefined)
        .map(({ run = "", env = {} }) => {
          const own = fill(env, values);
          const set = Object.entries(own).map(([name, value]) => `export ${name}=${quote(value)}`);
          // GitHub runs each step in a shell of its own: bash --noprofile --norc -eo pipefail.
          return `(\nset -eo pipefail\n${set.join("\n")}\n${run}\n)`;
        }),
    };
  });
}

/** The scripts of a GitLab pipeline: https://docs.gitlab.com/ci/yaml. */
export function readGitlabPipeline(text: string): PipelineJob[] {
  const { stages, ...jobs } = parse(text) as Record<string, unknown> & { stages: string[] };
  assert(Array.isArray(stages) && stages.length > 0, "it has no stages");
  const entries = Object.entries(jobs as Record<string, Record<string, unknown>>);
  entries.sort(([, left], [, right]) => stageOf(stages, left) - stageOf(stages, right));
  return entries.map(([name, job]) => {
    const script = [...((job.before_script as string[]) ?? []), ...(job.script as string[])];
    assert(
      script.length > 0 && script.every((line) => typeof line === "string"),
      `${name}: script`,
    );
    assert(Array.isArray(job.rules), `${name} runs for every push`);
    return { environment: {}, steps: [`set -eo pipefail\n${script.join("\n")}`] };
  });
}

function stageOf(stages: readonly string[], { stage }: Record<string, unknown>): number {
  assert(stages.includes(String(stage)), `there is no stage ${stage}`);
  return stages.indexOf(String(stage));
}

/** `${{ vars.X }}` and `${{ secrets.X }}`; what has no value must not go unnoticed. */
function fill(given: Record<string, string>, values: Record<string, string>) {
  const filled = Object.entries(given).map(([name, text]) => [
    name,
    text.replaceAll(/\$\{\{\s*(?:vars|secrets)\.(\w+)\s*\}\}/g, (_, key: string) => {
      const value = values[key];
      assert(value !== undefined, `${key} has no value`);
      return value;
    }),
  ]);
  return Object.fromEntries(filled) as Record<string, string>;
}

function quote(text: string): string {
  return `'${text.replaceAll("'", "'\\''")}'`;
}

function assert(condition: boolean, message: string): asserts condition {
  if (!condition) throw new Error(`the template: ${message}`);
}
