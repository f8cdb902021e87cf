import fs from "node:fs";
import os from "node:os";
import path from "node:path";
import { misuse } from "./cli-error.ts";

/** Where and as whom the user works; kept per user, readable by nobody else. */
export interface Context {
  url?: string;
  apiKey?: string;
  tenant?: string;
}

export function contextFile(environment: NodeJS.ProcessEnv): string {
  const base = environment.XDG_CONFIG_HOME || path.join(os.homedir(), ".config");
  return path.join(base, "vautn", "context.json");
}

export function readContext(environment: NodeJS.ProcessEnv): Context {
  const file = contextFile(environment);
  let text: string;
  try {
    text = fs.readFileSync(file, "utf8");
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code === "ENOENT") return {};
    throw error;
  }
  try {
    const value = JSON.parse(text) as Record<string, unknown> | null;
    const only = (name: keyof Context) =>
      typeof value?.[name] === "string" ? { [name]: value[name] } : {};
    return { ...only("url"), ...only("apiKey"), ...only("tenant") };
  } catch {
    throw misuse(`${file} is damaged`, `remove it and sign in again: rm ${file}`);
  }
}

/** Replaces the file as a whole, so that an interruption leaves the old one. */
export function writeContext(environment: NodeJS.ProcessEnv, context: Context): string {
  const file = contextFile(environment);
  fs.mkdirSync(path.dirname(file), { recursive: true, mode: 0o700 });
  const temporary = `${file}.${process.pid}`;
  fs.writeFileSync(temporary, `${JSON.stringify(context, null, 2)}\n`, { mode: 0o600 });
  fs.renameSync(temporary, file);
  return file;
}

/** The stored context with the environment's word above it. */
export function effectiveContext(environment: NodeJS.ProcessEnv): Context {
  const { VAUTN_URL: url, VAUTN_API_KEY: apiKey, VAUTN_TENANT: tenant } = environment;
  return {
    ...readContext(environment),
    ...(url ? { url } : {}),
    ...(apiKey ? { apiKey } : {}),
    ...(tenant ? { tenant } : {}),
  };
}
