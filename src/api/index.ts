export { startChallengeListener } from "./challenge-listener.ts";
export { openApiText } from "./document.ts";
export { type ApiDeps, buildApi, startApi } from "./server.ts";
