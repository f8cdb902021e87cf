import { setImmediate } from "node:timers/promises";
import { PLATFORM_CHAIN } from "../tenancy/index.ts";
import type { AuthorityRequestRow } from "./authority-store.ts";
import {
  type AuthorityKind,
  type AuthorityRow,
  authorityOf,
  type KeyKind,
} from "./authority-types.ts";
import type { RootListView } from "./root-list.ts";

export interface AuthorityView {
  id: string;
  /** Null for root and server authorities. */
  tenantId: string | null;
  kind: AuthorityKind;
  status: AuthorityRow["status"];
  subject: string;
  /** SHA-256 over the DER, hex. */
  fingerprint: string;
  algorithm: string;
  keyKind: KeyKind;
  /** Of a key in a token. */
  keyUri: string | null;
  /** The root that signed it; its own id for a root. */
  issuerId: string | null;
  createdAt: Date;
  notAfter: Date;
}

export interface PendingAuthorityView {
  id: string;
  tenantId: string | null;
  kind: "tenant" | "server";
  subject: string;
  createdAt: Date;
}

export interface Hierarchy {
  authorities: AuthorityView[];
  /** What waits for the offline root. */
  pending: PendingAuthorityView[];
  /** The offline root's revocation list; null where the root signs by itself. */
  rootList: RootListView | null;
}

const ROWS_AT_ONCE = 100;

export async function viewsOf(rows: readonly AuthorityRow[]): Promise<AuthorityView[]> {
  const roots = rows.filter(({ kind }) => kind === "root").map((row) => authorityOf(row));
  const views: AuthorityView[] = [];
  for (const [index, row] of rows.entries()) {
    // Thousands of tenants take seconds to read: others get their turn between.
    if (index % ROWS_AT_ONCE === ROWS_AT_ONCE - 1) await setImmediate();
    const { certificate } = authorityOf(row);
    views.push({
      id: row.id,
      tenantId: row.tenant_id === PLATFORM_CHAIN ? null : row.tenant_id,
      kind: row.kind,
      status: row.status,
      subject: row.subject,
      fingerprint: row.fingerprint,
      algorithm: certificate.publicKey.asymmetricKeyType === "ed25519" ? "ed25519" : "ecdsa-p256",
      keyKind: row.key_kind,
      keyUri: row.key_uri,
      issuerId: roots.find((root) => certificate.checkIssued(root.certificate))?.id ?? null,
      createdAt: row.created_at,
      notAfter: row.not_after,
    });
  }
  return views;
}

export function pendingOf(row: AuthorityRequestRow): PendingAuthorityView {
  return {
    id: row.id,
    tenantId: row.tenant_id === PLATFORM_CHAIN ? null : row.tenant_id,
    kind: row.kind,
    subject: row.subject,
    createdAt: row.created_at,
  };
}
