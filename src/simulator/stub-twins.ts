import {
  checkMessage,
  type DesiredMessage,
  type JsonObject,
  mergePatch,
  type ReportedMessage,
  ReportedMessage as ReportedSchema,
} from "../protocol/index.ts";

export interface StubTwin {
  desired: JsonObject;
  version: number;
  reported: JsonObject;
  reportedVersion: number;
  heldVersion: number;
  appliedVersion: number;
  fault: ReportedMessage["fault"] | null;
}

/** The platform's side of the twin, by the rules of docs/protocol/twin.md. */
export class StubTwins {
  readonly #twins = new Map<string, StubTwin>();

  of(device: string): StubTwin {
    const found = this.#twins.get(device) ?? {
      ...{ desired: {}, version: 0, reported: {}, reportedVersion: 0 },
      ...{ heldVersion: 0, appliedVersion: 0, fault: null },
    };
    this.#twins.set(device, found);
    return found;
  }

  /** What is to be sent of a change. */
  change(device: string, patch: JsonObject): DesiredMessage {
    const twin = this.of(device);
    twin.desired = mergePatch(twin.desired, patch) as JsonObject;
    twin.version += 1;
    const { version, reportedVersion } = twin;
    return { version, from: version - 1, patch, reportedVersion };
  }

  /** What is to be sent after a connect; undefined where nobody has said anything yet. */
  atConnect(device: string): DesiredMessage | undefined {
    const { version, reportedVersion, heldVersion, desired } = this.of(device);
    if (version === 0 && reportedVersion === 0) return undefined;
    const isKnown = heldVersion === version;
    return { version, from: isKnown ? version : 0, patch: isKnown ? {} : desired, reportedVersion };
  }

  /** Takes a report in; returns what is to be sent in answer to it, if anything. */
  report(device: string, message: ReportedMessage): DesiredMessage | undefined {
    checkMessage(ReportedSchema, message);
    const twin = this.of(device);
    const { version, from, patch } = message;
    const isRepeated = from !== 0 && version === twin.reportedVersion;
    const isGap = from !== 0 && !isRepeated && from !== twin.reportedVersion;
    if (!isRepeated && !isGap) {
      twin.reported = mergePatch(from === 0 ? {} : twin.reported, patch) as JsonObject;
      twin.reportedVersion = version;
    }
    twin.heldVersion = message.desiredVersion;
    twin.appliedVersion = message.appliedVersion;
    twin.fault = message.fault ?? null;
    if (!isGap && twin.heldVersion === twin.version) return undefined;
    const { desired, reportedVersion } = twin;
    return { version: twin.version, from: 0, patch: desired, reportedVersion };
  }
}
