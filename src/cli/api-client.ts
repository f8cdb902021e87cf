import { messageOf } from "../kernel/index.ts";
import { type CliContext, UsageError } from "./context.ts";

// biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
export type Answer = any;

/** A refusal of the API, with what a person needs to act on it. */
export class ApiRefusal extends Error {
  readonly status: number;
  readonly code: string;

  constructor(status: number, problem: { code?: string; detail?: string; traceId?: string }) {
    const trace = problem.traceId ? ` (trace ${problem.traceId})` : "";
    super(`${problem.detail ?? "the request was refused"} [${problem.code ?? status}]${trace}`);
    this.status = status;
    this.code = problem.code ?? "";
  }
}

export class ApiClient {
  readonly #context: CliContext;
  /** Trace id of the latest answer. */
  lastTraceId = "";

  constructor(context: CliContext) {
    this.#context = context;
  }

  get(path: string): Promise<Answer> {
    return this.request("GET", path);
  }

  post(path: string, body: unknown = {}): Promise<Answer> {
    return this.request("POST", path, body);
  }

  /** JSON, or bytes with the headers that say what they are. */
  async request(
    method: string,
    path: string,
    body?: unknown,
    headers: Record<string, string> = {},
  ): Promise<Answer> {
    const { url, apiKey } = this.#context;
    if (!url) throw new UsageError("no platform is known. Next: vautn login URL, or set VAUTN_URL");
    if (!apiKey) throw new UsageError("no API key. Next: vautn login URL, or set VAUTN_API_KEY");
    const binary = body instanceof Uint8Array;
    const response = await this.#fetch(`${url.replace(/\/$/, "")}/api/v1${path}`, {
      method,
      headers: {
        authorization: `Bearer ${apiKey}`,
        ...(body === undefined || binary ? {} : { "content-type": "application/json" }),
        ...headers,
      },
      ...(body === undefined ? {} : { body: binary ? (body as never) : JSON.stringify(body) }),
    });
    this.lastTraceId = response.headers.get("x-trace-id") ?? "";
    const text = await response.text();
    let answer: Answer;
    try {
      answer = text ? JSON.parse(text) : undefined;
    } catch {
      throw new Error(`${url} does not answer like a Vautn platform (status ${response.status})`);
    }
    if (!response.ok) throw new ApiRefusal(response.status, answer ?? {});
    return answer;
  }

  /** All items of a list, page after page, up to `most`. */
  async list(path: string, most = 10_000): Promise<Answer[]> {
    const items: Answer[] = [];
    let cursor: string | null = null;
    do {
      const mark: string = path.includes("?") ? "&" : "?";
      const page: string = cursor ? `${path}${mark}cursor=${encodeURIComponent(cursor)}` : path;
      const answer = await this.get(page);
      items.push(...answer.items);
      cursor = answer.nextCursor ?? null;
    } while (cursor && items.length < most);
    return items.slice(0, most);
  }

  async #fetch(url: string, init: RequestInit): Promise<Response> {
    try {
      return await fetch(url, init);
    } catch (error) {
      const cause = (error as { cause?: unknown }).cause ?? error;
      throw new Error(`${new URL(url).origin} cannot be reached: ${messageOf(cause)}`);
    }
  }
}
