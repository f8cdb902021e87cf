import { Anchor, Text } from "@mantine/core";
import { useState } from "react";
import { stringify } from "yaml";
import type { ReleaseView, RolloutSpec } from "../../api/index.ts";
import { YamlEditor } from "../../components/yaml-editor.tsx";

interface SpecFileProps {
  releases: readonly ReleaseView[];
  initial: RolloutSpec | undefined;
  releaseId: string | undefined;
  onPreview: (spec: RolloutSpec) => Promise<unknown>;
}

const KEYS = ["name", "release", "releaseId", "query", "policy"];

/** The rollout as the command line takes it from a file: all that a policy can say. */
export function SpecFile({ releases, initial, releaseId, onPreview }: SpecFileProps) {
  const [text] = useState(() => firstText(releases, initial, releaseId));
  return (
    <>
      <Text size="sm" c="dimmed">
        The same file as <span className="mono">vautn rollout create -f rollout.yaml</span> takes;
        what it leaves out has the platform’s defaults. Lines that begin with # are examples.{" "}
        <Anchor href="/api/v1/openapi.json" target="_blank" size="sm">
          All fields
        </Anchor>{" "}
        are those of RolloutPolicyInput.
      </Text>
      <YamlEditor<unknown>
        label="Rollout (YAML)"
        initial={text}
        saveLabel="Show the plan"
        onSave={(document) => onPreview(specOf(releases, document))}
      />
    </>
  );
}

/** What the file says in the API's words; refuses what it does not know, as the command line does. */
function specOf(releases: readonly ReleaseView[], document: unknown): RolloutSpec {
  if (typeof document !== "object" || document === null || Array.isArray(document)) {
    throw new Error(`It needs ${KEYS.join(", ")}.`);
  }
  const file = document as Record<string, unknown>;
  const unknown = Object.keys(file).find((key) => !KEYS.includes(key));
  if (unknown) throw new Error(`“${unknown}” is not known: it takes ${KEYS.join(", ")}.`);
  const named = String(file.release ?? file.releaseId ?? "");
  const release = releases.find(
    ({ id, product, version }) => named === id || named === `${product}@${version}`,
  );
  if (!release) {
    throw new Error(named ? `There is no release ${named}.` : "It needs release: PRODUCT@VERSION.");
  }
  return {
    name: String(file.name ?? `${release.product} ${release.version}`),
    releaseId: release.id,
    query: String(file.query ?? ""),
    ...(file.policy ? { policy: file.policy as NonNullable<RolloutSpec["policy"]> } : {}),
  };
}

function firstText(
  releases: readonly ReleaseView[],
  initial: RolloutSpec | undefined,
  releaseId: string | undefined,
): string {
  const wanted = initial?.releaseId ?? releaseId;
  const release = releases.find(({ id }) => id === wanted) ?? releases[0];
  const head = {
    name: initial?.name ?? (release ? `${release.product} ${release.version}` : "hub 2.4.0"),
    release: release ? `${release.product}@${release.version}` : "hub@2.4.0",
    query: initial?.query ?? "",
    policy: initial?.policy ?? { onBreach: "pause" },
  };
  return `${stringify(head)}${EXAMPLES}`;
}

const EXAMPLES = `  # stages:
  #   - { name: canary, devices: 5 }
  #   - { name: 25 %, percent: 25, rampSeconds: 86400 }
  #   - { name: all, percent: 100, minSoakSeconds: 43200 }
  # holdbackPercent: 5
  # order: one-per-site-first          # or least-critical-first, random
  # disruption: { tag: site, atMost: 2 }
  # window: { from: "22:00", to: "05:00", zoneTag: timezone }
  # maxConcurrent: 2000
  # priority: 10
  # steppingStones: [2.0.0]
  # startAt: 2030-01-31T20:00:00Z
  # dynamic: true
  # retry: { attempts: 2, afterSeconds: 86400 }
  # thresholds:
  #   - { metric: crash-rate, above: 0.02, minimumDevices: 200 }
`;
