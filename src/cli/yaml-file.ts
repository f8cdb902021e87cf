import { misuse } from "./cli-error.ts";
import { readText } from "./document-files.ts";

/** An object out of a YAML or JSON file. */
export async function readYaml(file: string, next?: string): Promise<Record<string, unknown>> {
  const { parse } = await import("yaml");
  let value: unknown;
  try {
    value = parse(readText(file), { maxAliasCount: 10 });
  } catch (error) {
    if ((error as Error).name === "CliError") throw error;
    throw misuse(`${file} is not YAML: ${(error as Error).message}`);
  }
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw misuse(`${file} holds no object`, next);
  }
  return value as Record<string, unknown>;
}
