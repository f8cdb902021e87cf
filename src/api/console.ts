import fs from "node:fs";
import path from "node:path";
import fastifyStatic from "@fastify/static";
import { AppError } from "../kernel/index.ts";
import type { Api } from "./types.ts";

const NOT_BUILT = `<!doctype html><html lang="en"><meta charset="utf-8"><title>Vautn</title>
<body><h1>Vautn</h1><p>The API is up; the console has not been built.
Run <code>npm run build:web</code> and start again.</p></body></html>`;

/** The console's files; every other path of the browser is the console's own. */
export async function serveConsole(api: Api, webDirectory: string | undefined): Promise<void> {
  const built = webDirectory && fs.existsSync(path.join(webDirectory, "index.html"));
  if (built) {
    await api.register(fastifyStatic, { root: webDirectory, serve: false });
    api.get(
      "/assets/*",
      { config: { access: "public" }, schema: { hide: true } },
      (request, reply) =>
        // The names carry a hash of the content, so that they can be kept for ever.
        reply.sendFile(`assets/${(request.params as { "*": string })["*"]}`, {
          maxAge: "365d",
          immutable: true,
        }),
    );
  }
  const files = built ? rootFiles(webDirectory) : new Set<string>();

  api.setNotFoundHandler((request, reply) => {
    const pathname = request.url.split("?")[0] ?? "/";
    const isPage =
      ["GET", "HEAD"].includes(request.method) && !/^\/(api|assets|v1)(\/|$)/.test(pathname);
    if (!isPage) throw new AppError("not-found", `there is no ${request.method} ${pathname}`);
    if (!built) return reply.type("text/html; charset=utf-8").send(NOT_BUILT);
    const file = files.has(pathname.slice(1)) ? pathname.slice(1) : "index.html";
    return reply.header("cache-control", "no-cache").sendFile(file);
  });
}

/** Files next to index.html (icons, a manifest): a fixed list, so that no path is ever built. */
function rootFiles(directory: string): Set<string> {
  const entries = fs.readdirSync(directory, { withFileTypes: true });
  return new Set(entries.filter((entry) => entry.isFile()).map((entry) => entry.name));
}
