import type { Readable } from "node:stream";
import { ApiRefusal, PlatformUnreachable } from "./errors.ts";
import { type Operations, ROUTES } from "./generated-api.ts";

export type OperationName = keyof Operations;

/** What a call of an operation needs: only what it has. */
export type CallInput<Name extends OperationName, Filled extends string = never> = Part<
  "params",
  Omit<Operations[Name]["params"], Filled>
> &
  (undefined extends Operations[Name]["body"] ? unknown : { body: Operations[Name]["body"] }) & {
    query?: Operations[Name]["query"];
    /** What an update was made on: refused with 412 where that is there no longer. */
    ifMatch?: string | undefined;
  };

type Part<Key extends string, Value> = keyof Value extends never
  ? { [key in Key]?: Value }
  : { [key in Key]: Value };

interface RawInput {
  params?: Record<string, string>;
  query?: Record<string, unknown>;
  body?: unknown;
  ifMatch?: string;
}

const TIMEOUT_MS = 60_000;
const UPLOAD_TIMEOUT_MS = 3_600_000;

/** The operators' API by operation, with the types that openapi.json gives. */
export class ApiClient {
  readonly url: string;
  /** Trace id of the latest answer: the way from a request to a device's log line. */
  lastTraceId: string | undefined;
  /** Validator of what the latest answer showed, for `ifMatch`; undefined where it has none. */
  lastEtag: string | undefined;
  readonly #headers: Record<string, string>;
  readonly #timeoutMs: number;

  /** `timeoutMs` bounds a call and a download; without it they may take a minute. */
  constructor(
    url: string,
    credentials: { apiKey?: string | undefined; cookie?: string; timeoutMs?: number | undefined },
  ) {
    this.url = url.replace(/\/+$/, "");
    this.#timeoutMs = credentials.timeoutMs ?? TIMEOUT_MS;
    this.#headers = {
      ...(credentials.apiKey ? { authorization: `Bearer ${credentials.apiKey}` } : {}),
      ...(credentials.cookie ? { cookie: credentials.cookie, "x-requested-with": "vautn" } : {}),
    };
  }

  async call<Name extends OperationName>(
    name: Name,
    input: CallInput<Name>,
  ): Promise<Operations[Name]["answer"]> {
    const { body, ifMatch } = input as RawInput;
    const response = await this.#send(name, input as RawInput, {
      headers: {
        ...(body === undefined ? {} : { "content-type": "application/json" }),
        ...(ifMatch === undefined ? {} : { "if-match": ifMatch }),
      },
      body: body === undefined ? null : JSON.stringify(body),
      signal: AbortSignal.timeout(this.#timeoutMs),
    });
    const text = await response.text();
    return (text === "" ? undefined : JSON.parse(text)) as Operations[Name]["answer"];
  }

  /** What an operation answers, byte by byte: for documents whose hash others have signed. */
  async download<Name extends OperationName>(name: Name, input: CallInput<Name>): Promise<Buffer> {
    const init = { headers: {}, signal: AbortSignal.timeout(this.#timeoutMs) };
    const response = await this.#send(name, input as RawInput, init);
    return Buffer.from(await response.arrayBuffer());
  }

  /** The answer as it comes in, for what is too long to stand in memory; refusals are thrown. */
  stream<Name extends OperationName>(name: Name, input: CallInput<Name>): Promise<Response> {
    return this.#send(name, input as RawInput, {});
  }

  /** Sends a file as it is read; it need not stand in memory as a whole. */
  async upload<Name extends OperationName>(
    name: Name,
    input: Omit<CallInput<Name>, "body">,
    image: Readable | Uint8Array<ArrayBuffer>,
    headers: Record<string, string>,
  ): Promise<Operations[Name]["answer"]> {
    const response = await this.#send(
      name,
      input as RawInput,
      {
        headers: { "content-type": "application/octet-stream", ...headers },
        body: image as ReadableStream | Uint8Array<ArrayBuffer>,
        duplex: "half",
        signal: AbortSignal.timeout(UPLOAD_TIMEOUT_MS),
      } as RequestInit,
    );
    return (await response.json()) as Operations[Name]["answer"];
  }

  /** The data of a live view's events, until it ends. */
  async *events<Name extends OperationName>(
    name: Name,
    input: CallInput<Name>,
    signal: AbortSignal,
  ): AsyncGenerator<unknown> {
    const response = await this.#send(name, input as RawInput, { signal });
    const decoder = new TextDecoder();
    let buffered = "";
    for await (const chunk of response.body ?? []) {
      buffered += decoder.decode(chunk as Uint8Array, { stream: true });
      const blocks = buffered.split("\n\n");
      buffered = blocks.pop() ?? "";
      for (const block of blocks) {
        const data = block.split("\n").find((line) => line.startsWith("data: "));
        if (data) yield JSON.parse(data.slice("data: ".length));
      }
    }
  }

  async #send(name: OperationName, input: RawInput, init: RequestInit): Promise<Response> {
    const response = await this.raw(name, input, init);
    this.lastTraceId = response.headers.get("x-trace-id") ?? this.lastTraceId;
    this.lastEtag = response.headers.get("etag") ?? undefined;
    if (response.ok) return response;
    throw new ApiRefusal(response.status, await problemOf(response));
  }

  /** The answer as it came, whatever its status: for who needs its headers, such as a cookie. */
  async raw(name: OperationName, input: RawInput, init: RequestInit): Promise<Response> {
    const { method, path } = ROUTES[name];
    const filled = path.replace(/\{(\w+)\}/g, (_, key: string) =>
      encodeURIComponent(input.params?.[key] ?? ""),
    );
    const url = new URL(this.url + filled);
    for (const [key, value] of Object.entries(input.query ?? {})) {
      if (value !== undefined && value !== null) url.searchParams.set(key, String(value));
    }
    try {
      return await fetch(url, { ...init, method, headers: { ...this.#headers, ...init.headers } });
    } catch (error) {
      if ((error as Error).name === "AbortError") throw error;
      throw new PlatformUnreachable(this.url, error);
    }
  }
}

async function problemOf(response: Response): Promise<Record<string, never>> {
  try {
    return JSON.parse(await response.text());
  } catch {
    return {}; // A proxy's own page: the status says what there is to say.
  }
}
