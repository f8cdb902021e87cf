import fs from "node:fs";
import tls from "node:tls";
import {
  ApiClient,
  type CallInput,
  type OperationName,
  type Operations,
  ROUTES,
} from "../client/index.ts";
import { misuse } from "./cli-error.ts";
import { effectiveContext } from "./context.ts";

/** A client of the platform in one tenant: what the context and the environment say. */
export class Session {
  readonly client: ApiClient;
  readonly #tenant: string | undefined;

  constructor(environment: NodeJS.ProcessEnv, tenant?: string, timeoutMs?: number) {
    trustPrivateAuthority(environment);
    const context = effectiveContext(environment);
    if (!context.url) {
      throw misuse("no platform is named", "sign in with: vautn login URL (or set VAUTN_URL)");
    }
    if (!context.apiKey) {
      throw misuse("you are not signed in", "sign in with: vautn login URL (or set VAUTN_API_KEY)");
    }
    this.client = new ApiClient(context.url, { apiKey: context.apiKey, timeoutMs });
    this.#tenant = tenant ?? context.tenant;
  }

  get tenant(): string {
    if (this.#tenant) return this.#tenant;
    throw misuse(
      "no tenant is named",
      "give --tenant ID, set VAUTN_TENANT, or choose one: vautn tenant use ID",
    );
  }

  /** Calls an operation; `{tenant}` in its path is filled in. */
  call<Name extends OperationName>(
    name: Name,
    ...[input]: Optional<CallInput<Name, "tenant">>
  ): Promise<Operations[Name]["answer"]> {
    return this.client.call(name, this.fill(name, input));
  }

  fill<Name extends OperationName>(name: Name, input: unknown): CallInput<Name> {
    const given = (input ?? {}) as { params?: Record<string, string> };
    const tenant = ROUTES[name].path.includes("{tenant}") ? { tenant: this.tenant } : {};
    return { ...given, params: { ...tenant, ...given.params } } as unknown as CallInput<Name>;
  }

  /** Up to `limit` items of a list, page by page. */
  async collect<Name extends ListName>(
    name: Name,
    input: Pick<CallInput<Name, "tenant">, "params" & keyof CallInput<Name, "tenant">> & {
      query?: Operations[Name]["query"];
    },
    limit: number,
  ): Promise<{ items: Operations[Name]["answer"]["items"]; nextCursor: string | null }> {
    const items: unknown[] = [];
    let cursor: string | null = null;
    do {
      const query = { ...input.query, limit: Math.min(limit - items.length, PAGE) };
      const page = (await this.client.call(
        name,
        this.fill(name, { ...input, query: { ...query, ...(cursor ? { cursor } : {}) } }),
      )) as { items: unknown[]; nextCursor: string | null };
      items.push(...page.items);
      cursor = page.nextCursor;
    } while (cursor && items.length < limit);
    return { items: items as Operations[Name]["answer"]["items"], nextCursor: cursor };
  }
}

const PAGE = 500;

/** Operations that answer with a page of items. */
type ListName = {
  [Name in OperationName]: Operations[Name]["answer"] extends {
    items: unknown[];
    nextCursor: string | null;
  }
    ? Name
    : never;
}[OperationName];

type Optional<Input> = Record<never, never> extends Input ? [input?: Input] : [input: Input];

/** `VAUTN_CA` names a CA that the operating system does not know. */
export function trustPrivateAuthority(environment: NodeJS.ProcessEnv): void {
  const file = environment.VAUTN_CA;
  if (!file) return;
  let pem: string;
  try {
    pem = fs.readFileSync(file, "utf8");
  } catch (error) {
    throw misuse(`VAUTN_CA: ${(error as Error).message}`);
  }
  tls.setDefaultCACertificates([...tls.getCACertificates("default"), pem]);
}
