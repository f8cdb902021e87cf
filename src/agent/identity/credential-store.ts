import { generateKeyPairSync, type KeyObject } from "node:crypto";
import { messageOf } from "../../kernel/index.ts";
import type { Storage, TlsCredentials } from "../ports.ts";
import {
  type Generation,
  generationNumbers,
  readGeneration,
  readKey,
  removeGenerations,
  writeGeneration,
} from "./generation.ts";
import {
  type ActiveRotation,
  type IdentityState,
  initialIdentity,
  type RotationReason,
  readIdentityState,
  writeIdentityState,
} from "./identity-state.ts";

/**
 * The device's identity on its storage. What is in use changes by one rename and only between
 * generations that are whole, so that a power cut at any moment leaves a key with its certificate.
 */
export class CredentialStore {
  readonly #storage: Storage;
  #state: IdentityState;
  #current: Generation;
  #previous: Generation | undefined;
  #refusals = 0;
  #accepted: number | undefined;
  #writing: Promise<void> = Promise.resolve();

  private constructor(
    storage: Storage,
    state: IdentityState,
    current: Generation,
    previous: Generation | undefined,
  ) {
    this.#storage = storage;
    this.#state = state;
    this.#current = current;
    this.#previous = previous;
  }

  /** Finds what is in use; falls back to any other whole generation rather than to none. */
  static async open(storage: Storage): Promise<CredentialStore> {
    const found = await readIdentityState(storage);
    const numbers = await generationNumbers(storage);
    const known = found && found !== "damaged" ? found : undefined;
    // Without a document nothing later than generation 0 was ever in use, unless it was damaged.
    const others = found === "damaged" ? [...numbers, 0] : [0, ...numbers];
    const candidates = known
      ? [known.current, ...(known.previous === null ? [] : [known.previous]), ...others]
      : others;
    const whole = await firstWhole(storage, candidates);
    const intact = known?.current === whole.number;
    const state = known && intact ? known : initialIdentity(whole.number);
    const previous =
      state.previous === null ? undefined : await firstWhole(storage, [state.previous], true);
    return new CredentialStore(storage, state, whole, previous);
  }

  get state(): Readonly<IdentityState> {
    return this.#state;
  }

  /** For people: what is in use until when, and the step of a rotation that comes next. */
  status(): { serial: string; notAfter: string; generation: number; rotation: string | null } {
    const { serial, notAfter, number } = this.#current;
    return {
      serial,
      notAfter: new Date(notAfter).toISOString(),
      generation: number,
      rotation: this.#state.rotation?.step ?? null,
    };
  }

  get current(): Generation {
    return this.#current;
  }

  /** What to connect with next: where the current one is refused, every other time the previous. */
  present(): Generation {
    return this.#refusals % 2 === 1 && this.#previous ? this.#previous : this.#current;
  }

  /** The generation that the platform accepted last. */
  get acceptedNumber(): number | undefined {
    return this.#accepted;
  }

  refused(): void {
    this.#refusals += 1;
  }

  /** The platform has accepted a generation; the way back is taken where it was not the current. */
  async accepted(number: number): Promise<"current" | "went-back"> {
    this.#refusals = 0;
    this.#accepted = number;
    const [current, previous] = [this.#previous, this.#current];
    if (number === previous.number || number !== current?.number) return "current";
    await this.#update(
      (state) => ({
        ...state,
        current: current.number,
        previous: previous.number,
        obtainedAt: null,
        // What is only asked for may go on; what was to be confirmed is not in use any more.
        rotation: isBeforeSwitch(state.rotation) ? state.rotation : null,
      }),
      { current, previous },
    );
    return "went-back";
  }

  /** A new generation with its key. What was delivered is copied first: it becomes the way back. */
  async begin(reason: RotationReason): Promise<void> {
    const numbers = await generationNumbers(this.#storage);
    let next = Math.max(this.#state.current, ...numbers) + 1;
    if (this.#state.current === 0) {
      await writeGeneration(this.#storage, next, this.#current);
      const current = await readGeneration(this.#storage, next);
      await this.#update((state) => ({ ...state, current: current.number }), { current });
      next += 1;
    }
    const { privateKey } = generateKeyPairSync("ec", { namedCurve: "P-256" });
    const key = privateKey.export({ type: "pkcs8", format: "pem" }) as string;
    await writeGeneration(this.#storage, next, { key });
    const rotation = { generation: next, step: "request", reason } as const;
    await this.#update((state) => ({
      ...state,
      rotation,
      answered: state.announced?.digest ?? state.answered,
    }));
  }

  candidateKey(): Promise<KeyObject> {
    return readKey(this.#storage, this.#rotation.generation);
  }

  /** The new generation as it lies on the storage; rejects where it is not whole. */
  candidate(): Promise<Generation> {
    return readGeneration(this.#storage, this.#rotation.generation);
  }

  /** The certificate has come: it is kept beside its key. */
  async keep(issued: Pick<TlsCredentials, "certificate" | "root">): Promise<Generation> {
    await writeGeneration(this.#storage, this.#rotation.generation, issued);
    const candidate = await this.candidate();
    await this.#advance("trial");
    return candidate;
  }

  /** The new generation becomes the current one, by one rename. */
  async switchOver(obtainedAt: number): Promise<void> {
    const candidate = await this.candidate();
    const rotation: ActiveRotation = { ...this.#rotation, step: "confirm" };
    await this.#update(
      (state) => ({
        ...state,
        current: candidate.number,
        previous: state.current,
        obtainedAt,
        rotation,
        announced: null,
      }),
      { current: candidate, previous: this.#current },
    );
    this.#refusals = 0;
  }

  async confirmed(): Promise<void> {
    await this.#advance("finish");
  }

  /**
   * The rotation is over. The files of generation 0 get the current content, for other programs of
   * the device and for agents that know of no other; they are not in use here meanwhile.
   */
  async finish(): Promise<void> {
    await writeGeneration(this.#storage, 0, this.#current);
    await this.#end();
  }

  /** Gives up a generation that no platform has accepted. */
  discard(): Promise<void> {
    return this.#end();
  }

  /** The platform's authorities are others than ours; since when is kept. */
  async noteAnnounced(announced: IdentityState["announced"]): Promise<void> {
    await this.#update((state) => ({ ...state, announced }));
  }

  get #rotation(): ActiveRotation {
    if (!this.#state.rotation) throw new Error("no rotation is under way");
    return this.#state.rotation;
  }

  async #advance(step: ActiveRotation["step"]): Promise<void> {
    const rotation = { ...this.#rotation, step };
    await this.#update((state) => ({ ...state, rotation }));
  }

  async #end(): Promise<void> {
    await this.#update((state) => ({ ...state, rotation: null }));
    const { current, previous } = this.#state;
    await removeGenerations(this.#storage, [current, ...(previous === null ? [] : [previous])]);
  }

  /** Makes `change` durable, one at a time; afterwards, and only then, it shows. */
  #update(
    change: (state: IdentityState) => IdentityState,
    inUse: { current?: Generation; previous?: Generation } = {},
  ): Promise<void> {
    const written = this.#writing.then(async () => {
      const next = change(this.#state);
      await writeIdentityState(this.#storage, next);
      this.#state = next;
      if (inUse.current) this.#current = inUse.current;
      if (inUse.previous) this.#previous = inUse.previous;
    });
    this.#writing = written.catch(() => {});
    return written;
  }
}

function isBeforeSwitch(rotation: ActiveRotation | null): boolean {
  return rotation?.step === "request" || rotation?.step === "trial";
}

function firstWhole(storage: Storage, numbers: readonly number[]): Promise<Generation>;
function firstWhole(
  storage: Storage,
  numbers: readonly number[],
  orNone: true,
): Promise<Generation | undefined>;
async function firstWhole(
  storage: Storage,
  numbers: readonly number[],
  orNone = false,
): Promise<Generation | undefined> {
  const problems: string[] = [];
  for (const number of numbers) {
    try {
      return await readGeneration(storage, number);
    } catch (error) {
      problems.push(`generation ${number}: ${messageOf(error)}`);
    }
  }
  if (orNone) return undefined;
  throw new Error(`this device has no identity: ${problems.join("; ")}`);
}
