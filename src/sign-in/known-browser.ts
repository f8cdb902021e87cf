import { type Clock, randomSecret } from "../kernel/index.ts";
import { equalSecrets, hashSecret, type Sealer } from "../kernel/sealing.ts";

const CONTEXT = "known browser";
const LIFETIME_MS = 180 * 86_400_000;
const MAX_LENGTH = 512;

interface Known {
  email: string;
  id: string;
  expiresAt: number;
}

/**
 * A browser in which somebody has signed in before keeps a sealed note of it. Its wrong passwords and
 * codes are counted by themselves, so that whoever guesses elsewhere, behind the same address even,
 * cannot shut the person out of it (OWASP: device cookies).
 */
export function createKnownBrowsers(sealer: Sealer, clock: Clock) {
  const hashOf = (email: string) => hashSecret(email).toString("base64url");
  return {
    /** The browser's id, where the note is ours and about this person; else undefined. */
    idOf(note: string | undefined, email: string): string | undefined {
      if (!note || note.length > MAX_LENGTH) return undefined;
      try {
        const known = JSON.parse(
          sealer.open(Buffer.from(note, "base64url"), CONTEXT).toString(),
        ) as Known;
        const isOurs = known.expiresAt > clock.now() && equalSecrets(known.email, hashOf(email));
        return isOurs ? known.id : undefined;
      } catch {
        return undefined; // Altered, or sealed by another installation: a browser like any other.
      }
    },
    note(email: string, id = randomSecret(12)): { note: string; expiresAt: Date } {
      const expiresAt = clock.now() + LIFETIME_MS;
      const known: Known = { email: hashOf(email), id, expiresAt };
      const note = sealer.seal(JSON.stringify(known), CONTEXT).toString("base64url");
      return { note, expiresAt: new Date(expiresAt) };
    },
  };
}
