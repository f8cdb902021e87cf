import { systemClock } from "../kernel/index.ts";
import { createLogger } from "../kernel/logger.ts";
import { openApiDocument } from "./openapi.ts";
import { type ApiDeps, buildApi } from "./server.ts";

/** The text of openapi.json: the routes are described, and none of them is run. */
export async function openApiText(): Promise<string> {
  const modules = new Proxy({} as ApiDeps, {
    get(_target, name) {
      if (name === "clock") return systemClock;
      if (name === "logger") return createLogger({ level: "silent" });
      return undefined;
    },
  });
  const api = await buildApi(modules);
  try {
    return `${JSON.stringify(openApiDocument(api), null, 2)}\n`;
  } finally {
    await api.close();
  }
}
