import type { Database } from "../db/index.ts";
import type { Clock } from "../kernel/index.ts";
import type { Logger } from "../kernel/logger.ts";
import type { Authorities } from "./authorities.ts";
import type { AuthorityKeys } from "./authority-keys.ts";
import type { AuthorityRow } from "./authority-types.ts";
import { type PublishedList, RevocationLists } from "./crl-lists.ts";
import type { ListKind } from "./crl-store.ts";
import { OcspResponder } from "./ocsp-responder.ts";
import type { Peers } from "./peers.ts";
import { PublishedAuthorities } from "./published-authorities.ts";
import { deltaCrlUrl } from "./revocation-places.ts";

interface Deps {
  db: Database;
  clock: Clock;
  logger: Logger;
  keys: AuthorityKeys;
  peers: Peers;
  authorities: Pick<Authorities, "onChanged">;
  publicUrl?: string | undefined;
}

/** Lists and answers for third parties, kept up with what is revoked. */
export function createPublishedRevocation(deps: Deps) {
  const { publicUrl, keys, peers } = deps;
  const directory = new PublishedAuthorities(deps);
  // The root may be offline, and a removed tenant's key is destroyed: nobody can sign for them.
  const isAtHand = ({ key_kind: kind, private_key_sealed: sealed }: AuthorityRow) =>
    kind === "pkcs11" || (kind === "sealed" && sealed !== null);
  const inner = {
    ...deps,
    directory,
    issuerOf: (row: AuthorityRow) => (isAtHand(row) ? keys.issuerOf(row) : undefined),
    deltaUrl: (id: string) => (publicUrl ? deltaCrlUrl(publicUrl, id) : undefined),
  };
  const lists = new RevocationLists(inner);
  const responder = new OcspResponder(inner);
  deps.authorities.onChanged(({ tenantId }) => lists.heardOfAuthorities(tenantId));
  peers.onStandingChanged((change) => lists.heard(change));
  return {
    revocationList: (id: string, kind: ListKind): Promise<PublishedList | undefined> =>
      lists.get(id, kind),
    ocsp: (request: Uint8Array) => responder.answer(request),
  };
}
