import { type Clock, messageOf } from "../../kernel/index.ts";
import {
  type BootStage,
  type Configuration,
  type ConfigurationScript,
  type Envelope,
  type RootMetadata,
  verifyConfiguration,
} from "../../protocol/index.ts";
import { type ChainOfTrust, type Floors, NO_FLOORS } from "../boot/boot-back-end.ts";
import { readDocument, replaceFile, writeDocument } from "../offline/atomic-file.ts";
import type { Storage } from "../ports.ts";

interface ScriptEnd {
  /** Null where a signal ended it. */
  status: number | null;
  output: string;
}

export interface ConfigurationsDeps {
  identity: { tenant: string; product: string };
  root(): RootMetadata;
  storage: Storage;
  chain: ChainOfTrust | undefined;
  clock: Clock;
  trustedNow(): number;
  /** Runs a script's text; resolves with its exit status and the end of what it wrote. */
  runScript(content: string, signal: AbortSignal): Promise<ScriptEnd>;
  log(level: "info" | "warn" | "error", message: string): void;
  life: AbortSignal;
}

const CURRENT = "configuration.json";
const PREVIOUS = "configuration.previous.json";
/** What the application reads; written anew at every start from what was verified. */
export const SETTINGS_FILE = "settings.json";
const SCRIPT_MS = 60_000;
const MAX_FAULT = 256;

type Source = "current" | "previous" | "built-in";

/**
 * Signed settings and scripts. At each start the stored configuration is verified again before
 * anything is taken from it; one that fails, or whose scripts fail, gives way to the one before, and
 * that to the built-in defaults: no settings, no scripts. No step restarts the machine.
 */
export class Configurations {
  readonly #deps: ConfigurationsDeps;
  #inForce: { version: number; source: Source } = { version: 0, source: "built-in" };
  #fault: string | undefined;
  #floors: Floors = NO_FLOORS;
  #applying: Promise<unknown> = Promise.resolve();

  constructor(deps: ConfigurationsDeps) {
    this.#deps = deps;
  }

  /** Brings the last good configuration into force. */
  async start(): Promise<void> {
    await this.#readFloors();
    this.#fault = undefined;
    const stored: [string, Source][] = [
      [CURRENT, "current"],
      [PREVIOUS, "previous"],
    ];
    for (const [file, source] of stored) {
      const configuration = await this.#verified(file);
      if (configuration && (await this.#enter(configuration, source, ["boot"]))) return;
    }
    await this.#enterDefaults();
  }

  /** Takes a newer configuration over, or rejects with the reason and leaves all as it was. */
  apply(envelope: unknown): Promise<{ version: number }> {
    const applied = this.#applying.then(() => this.#apply(envelope));
    this.#applying = applied.catch(() => {});
    return applied;
  }

  stage(): BootStage {
    const { version, source } = this.#inForce;
    return {
      stage: "configuration",
      version: String(version),
      counter: version,
      floor: this.#floors.configuration,
      source,
      ...(this.#fault ? { fault: this.#fault } : {}),
    };
  }

  async #apply(envelope: unknown): Promise<{ version: number }> {
    const { root, identity, storage, trustedNow } = this.#deps;
    const verdict = verifyConfiguration(envelope, root(), {
      ...identity,
      floor: this.#floors.configuration,
      versionInForce: this.#inForce.version,
      trustedTimeMs: trustedNow(),
    });
    if (!verdict.accepted) {
      throw new Error(`the configuration is refused: ${verdict.check}, ${verdict.message}`);
    }
    const { configuration } = verdict;
    if (!(await this.#enter(configuration, "current", ["once", "boot"]))) {
      const reason = this.#fault ?? "its scripts failed";
      await this.start();
      this.#fault = reason;
      throw new Error(`the configuration was taken back: ${reason}`);
    }
    await this.#keepPrevious();
    await writeDocument(storage, CURRENT, envelope as Envelope<Configuration>);
    this.#fault = undefined;
    await this.#writeVariables(configuration);
    return { version: configuration.version };
  }

  /** What is on disk now and verifies, be it after a fault of a later one, is the way back. */
  async #keepPrevious(): Promise<void> {
    const { storage } = this.#deps;
    const found = await readDocument(storage, CURRENT);
    const usable = found && found !== "damaged" && (await this.#verified(CURRENT));
    if (usable) await writeDocument(storage, PREVIOUS, (found as { document: unknown }).document);
  }

  async #verified(file: string): Promise<Configuration | undefined> {
    const { storage, root, identity, trustedNow } = this.#deps;
    const found = await readDocument(storage, file).catch(() => "damaged" as const);
    if (!found) return undefined;
    const verdict = verifyConfiguration(found === "damaged" ? null : found.document, root(), {
      ...identity,
      floor: this.#floors.configuration,
      versionInForce: null,
      trustedTimeMs: trustedNow(),
    });
    if (verdict.accepted) return verdict.configuration;
    this.#refused(`${file}: ${verdict.check}, ${verdict.message}`);
    return undefined;
  }

  /** Writes the settings and runs the scripts; false where one of them fails. */
  async #enter(
    configuration: Configuration,
    source: Source,
    runs: readonly ConfigurationScript["run"][],
  ): Promise<boolean> {
    await this.#writeSettings(configuration.settings);
    for (const run of runs) {
      for (const script of configuration.scripts.filter((one) => one.run === run)) {
        const { status, output } = await this.#run(script);
        if (status === 0) continue;
        const where = `version ${configuration.version}, script ${script.name}`;
        this.#refused(`${where}: exit status ${status}: ${output}`);
        return false;
      }
    }
    this.#inForce = { version: configuration.version, source };
    this.#deps.log("info", `configuration ${configuration.version} (${source}) is in force`);
    return true;
  }

  async #run(script: ConfigurationScript): Promise<ScriptEnd> {
    const late = new AbortController();
    const timer = this.#deps.clock.after(SCRIPT_MS, () => late.abort());
    try {
      const signal = AbortSignal.any([this.#deps.life, late.signal]);
      return await this.#deps.runScript(script.content, signal);
    } catch (error) {
      const message = late.signal.aborted ? `not done in ${SCRIPT_MS} ms` : messageOf(error);
      return { status: -1, output: message };
    } finally {
      timer.cancel();
    }
  }

  async #enterDefaults(): Promise<void> {
    await this.#writeSettings({});
    this.#inForce = { version: 0, source: "built-in" };
    this.#deps.log("info", "no configuration of the tenant's is in force");
  }

  async #writeSettings(settings: Record<string, unknown>): Promise<void> {
    const { storage } = this.#deps;
    const text = Buffer.from(JSON.stringify(settings));
    const found = await storage.read(SETTINGS_FILE);
    // Flash wears: a start that changes nothing writes nothing.
    if (found ? Buffer.from(found).equals(text) : text.length === 2) return;
    await replaceFile(storage, SETTINGS_FILE, text);
  }

  /** Floors rise last: until here the way back must stay open. */
  async #writeVariables(configuration: Configuration): Promise<void> {
    const { chain, log } = this.#deps;
    for (const variable of configuration.firmwareVariables) {
      try {
        if (!chain) throw new Error("this machine has no firmware variables");
        await chain.write(variable);
        log("info", `the firmware took the signed write of ${variable.name}`);
      } catch (error) {
        this.#refused(`${variable.name}: ${messageOf(error)}`);
      }
    }
    await this.#readFloors();
  }

  async #readFloors(): Promise<void> {
    this.#floors = (await this.#deps.chain?.floors()) ?? NO_FLOORS;
  }

  #refused(fault: string): void {
    this.#fault = fault.replace(/[^\x20-\x7e]+/g, " ").slice(0, MAX_FAULT);
    this.#deps.log("warn", this.#fault);
  }
}
