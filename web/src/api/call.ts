import { type Operations, ROUTES } from "../../../src/client/generated-api.ts";
import { request } from "./http.ts";

type OperationId = keyof Operations;

/** Everything that an operation takes; what it takes nothing of can be left out. */
interface Input<Id extends OperationId> {
  params?: Operations[Id]["params"];
  query?: Operations[Id]["query"];
  body?: Operations[Id]["body"];
}

export interface CallOptions {
  signal?: AbortSignal;
  headers?: Record<string, string>;
  /** Bytes instead of a JSON body. */
  upload?: Blob;
}

/** Calls one operation of the API; parameters and answer are typed by openapi.json. */
export function call<Id extends OperationId>(
  id: Id,
  input: Input<Id>,
  { upload, ...options }: CallOptions = {},
): Promise<Operations[Id]["answer"]> {
  const { method, path } = ROUTES[id];
  const params = (input.params ?? {}) as Record<string, string>;
  const filled = path.replaceAll(/\{(\w+)\}/g, (_, name) => encodeURIComponent(params[name] ?? ""));
  const body = upload ?? input.body;
  return request(method, filled, {
    ...options,
    query: (input.query ?? {}) as Record<string, string | number | undefined>,
    ...(body === undefined ? {} : { body }),
  });
}
