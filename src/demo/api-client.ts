/** A caller of the operators' API, as any tool would be: over HTTP with a key. */
export class ApiClient {
  readonly #baseUrl: string;
  readonly #apiKey: string;

  constructor(consoleUrl: string, apiKey: string) {
    this.#baseUrl = `${consoleUrl}/api/v1`;
    this.#apiKey = apiKey;
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
  get(path: string): Promise<any> {
    return this.#request("GET", path);
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
  post(path: string, body: unknown = {}): Promise<any> {
    return this.#request("POST", path, JSON.stringify(body), {
      "content-type": "application/json",
    });
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
  put(path: string, body: unknown): Promise<any> {
    return this.#request("PUT", path, JSON.stringify(body), { "content-type": "application/json" });
  }

  // biome-ignore lint/suspicious/noExplicitAny: answers are described in openapi.json
  upload(path: string, body: Uint8Array, headers: Record<string, string>): Promise<any> {
    return this.#request("POST", path, body, {
      "content-type": "application/octet-stream",
      ...headers,
    });
  }

  /** The trace id of the latest answer: the way from a request to the device's log lines. */
  lastTraceId = "";

  async #request(
    method: string,
    path: string,
    body?: string | Uint8Array,
    headers: Record<string, string> = {},
  ): Promise<unknown> {
    const response = await fetch(this.#baseUrl + path, {
      method,
      headers: { authorization: `Bearer ${this.#apiKey}`, ...headers },
      ...(body === undefined ? {} : { body: body as string }),
    });
    this.lastTraceId = response.headers.get("x-trace-id") ?? this.lastTraceId;
    const text = await response.text();
    const answer = text ? JSON.parse(text) : undefined;
    if (!response.ok) {
      throw new Error(`${method} ${path}: ${response.status} ${answer?.code} ${answer?.detail}`);
    }
    return answer;
  }
}
