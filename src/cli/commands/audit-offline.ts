import fs from "node:fs";
import readline from "node:readline";
import { messageOf } from "../../kernel/index.ts";
import type {
  AuditCheckpoint,
  AuditFacts,
  AuditFlaw,
  Envelope,
  SignedAuditCheckpoint,
  SigningKey,
} from "../../protocol/index.ts";
import { CliError, misuse } from "../cli-error.ts";

interface OfflineCheck {
  /** Tenant id, or `_platform`. */
  log: string;
  /** JSON Lines of `vautn audit export`. */
  file: string;
  checkpoints: string | undefined;
  /** Hex of the Ed25519 keys, learnt elsewhere; those in the checkpoints' file where left out. */
  key: readonly string[] | undefined;
  kept: AuditCheckpoint | undefined;
}

export interface OfflineProof {
  entries: number;
  /** First entry that is there. What comes before it is not judged. */
  from: number;
  intact: boolean;
  firstBroken?: number;
  reason?: AuditFlaw;
  /** The last entry that a valid signature covers. */
  signedUpTo?: number;
}

type Entry = AuditFacts & { hash: Buffer };

const MAX_ENTRIES = 10_000_000;

/** Judges an export by itself: neither the platform nor its database is asked. */
export async function checkOffline(options: OfflineCheck): Promise<OfflineProof> {
  const { AuditChainCheck } = await import("../../protocol/index.ts");
  const entries = await readExport(options.file, options.log);
  const first = entries[0];
  if (!first) throw misuse(`${options.file} holds no entry`);
  const signed = options.checkpoints ? await readSigned(options.checkpoints, options) : [];
  const last = entries.at(-1) as Entry;
  const known = options.kept ? [...signed, options.kept] : signed;
  const within = known.filter(({ seq }) => seq >= first.seq && seq <= last.seq);
  const covered = signed.findLast(({ seq }) => seq <= last.seq)?.seq ?? 0;
  const proof = {
    entries: entries.length,
    from: first.seq,
    ...(covered >= first.seq ? { signedUpTo: covered } : {}),
  };
  // An excerpt begins in the middle of the chain: with its second entry, on the hash of its first.
  const isWhole = first.seq === 1;
  const start = known.find(({ seq }) => seq === first.seq);
  if (!isWhole && start && start.hash !== first.hash.toString("hex")) {
    return { ...proof, intact: false, firstBroken: first.seq, reason: "checkpoint" };
  }
  const before = { seq: first.seq, hash: first.hash.toString("hex") };
  const check = new AuditChainCheck(isWhole ? within : [...within, before]);
  for (const entry of isWhole ? entries : entries.slice(1)) {
    const flaw = check.next(entry);
    if (flaw) return { ...proof, intact: false, ...flaw };
  }
  return { ...proof, intact: true };
}

async function readExport(file: string, log: string): Promise<Entry[]> {
  const entries: Entry[] = [];
  const lines = readline.createInterface({ input: fs.createReadStream(file, "utf8") });
  let number = 0;
  for await (const line of lines) {
    number += 1;
    if (line.trim() === "") continue;
    if (entries.length === MAX_ENTRIES) throw misuse(`${file} holds too many entries`);
    entries.push(entryOf(line, log, `${file}:${number}`));
  }
  return entries.sort((left, right) => left.seq - right.seq);
}

function entryOf(line: string, log: string, where: string): Entry {
  try {
    const entry = JSON.parse(line);
    const { actor, seq, at, hash } = entry;
    if (!Number.isSafeInteger(seq) || !/^[0-9a-f]{64}$/.test(hash)) throw new Error("no entry");
    return {
      ...{ tenantId: log, seq, at: new Date(at), hash: Buffer.from(hash, "hex") },
      ...{ actorKind: actor.kind, actorId: actor.id, actorName: actor.name },
      ...{ action: entry.action, targetKind: entry.targetKind, targetId: entry.targetId },
      ...{ outcome: entry.outcome, address: entry.address, traceId: entry.traceId },
      details: entry.details,
    };
  } catch (error) {
    throw misuse(`${where} is no line of an exported audit log: ${messageOf(error)}`);
  }
}

/** Checkpoints of the log that the key has signed; throws for one that it has not. */
async function readSigned(
  file: string,
  { key, log }: Pick<OfflineCheck, "key" | "log">,
): Promise<SignedAuditCheckpoint[]> {
  const { signingKeyId, validSigners } = await import("../../protocol/index.ts");
  let kept: {
    key: SigningKey;
    replacedKeys?: SigningKey[];
    items: Envelope<SignedAuditCheckpoint>[];
  };
  try {
    kept = JSON.parse(fs.readFileSync(file, "utf8"));
    if (!Array.isArray(kept.items) || typeof kept.key.keyval.public !== "string") {
      throw new Error("no checkpoints");
    }
  } catch (error) {
    throw misuse(`${file} is not what vautn audit checkpoints writes: ${messageOf(error)}`);
  }
  const given = key?.map((hex) => hex.toLowerCase());
  if (given && !given.includes(kept.key.keyval.public)) {
    throw new CliError(`${file} names another key than --key`);
  }
  const keys = [kept.key, ...(kept.replacedKeys ?? [])].filter(
    ({ keyval }) => !given || given.includes(keyval.public),
  );
  const byId = Object.fromEntries(keys.map((one) => [signingKeyId(one), one]));
  // Newest first: a key that was replaced signs nothing after the next one has.
  let keyids = Object.keys(byId);
  let number = 0;
  return kept.items.map((envelope) => {
    const { signed } = envelope;
    const follows = number === 0 || signed.number === number + 1;
    number = signed.number;
    const isOurs = signed._type === "audit-checkpoint" && signed.log === log;
    const [by] = validSigners(envelope, { keyids, threshold: 1 }, byId);
    if (!follows || !isOurs || by === undefined) {
      throw new CliError(
        `checkpoint ${number} in ${file} is not signed, missing, or of another log`,
      );
    }
    keyids = keyids.slice(0, keyids.indexOf(by) + 1);
    return signed;
  });
}
