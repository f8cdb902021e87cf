import type { AgentDeps } from "../agent.ts";
import type { ArtifactSource } from "../ports.ts";

/** Downloads by the identity that the agent keeps at the moment, where it keeps one. */
export function artifactsFor(deps: Pick<AgentDeps, "artifacts" | "credentials">): ArtifactSource {
  const { artifacts, credentials } = deps;
  if (!credentials) return artifacts;
  return {
    fetch: (url, offset, signal) => artifacts.fetch(url, offset, signal, credentials.current),
  };
}
