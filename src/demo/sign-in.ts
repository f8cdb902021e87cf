import { ApiClient } from "../client/index.ts";
import type { Platform } from "../platform/index.ts";

export interface SignedIn {
  api: ApiClient;
  /** Ends the key. */
  signOut(): Promise<void>;
}

/** A key of the administrator's, made inside the process that runs the platform. */
export async function signIn(platform: Platform): Promise<SignedIn> {
  const { users, keys } = platform.modules.tenancy;
  const [administrator] = await users.list();
  if (!administrator) throw new Error("the first start made no administrator");
  const system = { kind: "system", id: "demo", name: "demo" } as const;
  const { id, key } = await keys.createPersonalKey(administrator.id, { name: "demo" }, system);
  return {
    api: new ApiClient(platform.consoleUrl, { apiKey: key }),
    signOut: () => keys.revoke({ userId: administrator.id }, id, system),
  };
}
