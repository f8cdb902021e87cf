export { openApiText } from "./document.ts";
export { type ApiDeps, buildApi, startApi } from "./server.ts";
