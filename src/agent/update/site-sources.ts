import { type Clock, messageOf } from "../../kernel/index.ts";
import { withDeadline } from "../connection/deadline.ts";
import type { ArtifactResponse, ArtifactSource } from "../ports.ts";

/** A download cache of the site: the same paths under another address. */
export interface SiteSource {
  /** Its origin, e.g. `https://cache.plant.example:8443`. */
  base: string;
  source: ArtifactSource;
}

/** How long a cache that failed is left alone. */
const LEFT_ALONE_MS = 5 * 60_000;
/** A cache that has to fetch it first answers as soon as its own request is answered. */
const ANSWER_WITHIN_MS = 15_000;

/**
 * Fetches from the first cache that answers, else from the platform. A cache is never needed and
 * never believed: whatever it refuses, breaks off or gets wrong comes from the next place, and
 * hashes are compared all the same.
 */
export function createSiteSources(options: {
  sites: readonly SiteSource[];
  platform: ArtifactSource;
  clock: Clock;
  log(message: string): void;
}): ArtifactSource {
  const { sites, platform, clock, log } = options;
  const leftAloneUntil = new Map<string, number>();
  let used: string | undefined;

  const leaveAlone = (base: string, why: string) => {
    leftAloneUntil.set(base, clock.now() + LEFT_ALONE_MS);
    log(`${base} is left alone for a while: ${why}`);
  };

  /** The body, of whose untimely end the cache is to blame. */
  async function* watched(base: string, body: AsyncIterable<Uint8Array>, signal: AbortSignal) {
    try {
      yield* body;
    } catch (error) {
      if (!signal.aborted) leaveAlone(base, messageOf(error));
      throw error;
    }
  }

  async function fromSite(
    { base, source }: SiteSource,
    url: string,
    offset: number,
    signal: AbortSignal,
  ): Promise<ArtifactResponse | undefined> {
    try {
      const address = new URL(new URL(url).pathname, base).href;
      const response = await withDeadline(
        { clock, life: signal, timeoutMs: ANSWER_WITHIN_MS },
        (limited) => source.fetch(address, offset, limited),
      );
      if (response.status === 200 || response.status === 206) {
        return { ...response, servedBy: "cache", body: watched(base, response.body, signal) };
      }
      // 404 says something about the artifact and nothing about the cache.
      if (response.status !== 404) leaveAlone(base, `it answered ${response.status}`);
    } catch (error) {
      signal.throwIfAborted();
      leaveAlone(base, messageOf(error));
    }
    return undefined;
  }

  return {
    async fetch(url, offset, signal, credentials) {
      for (const site of sites) {
        if ((leftAloneUntil.get(site.base) ?? 0) > clock.now()) continue;
        const response = await fromSite(site, url, offset, signal);
        if (!response) continue;
        used = site.base;
        return response;
      }
      used = undefined;
      return platform.fetch(url, offset, signal, credentials);
    },
    distrust() {
      if (used !== undefined) leaveAlone(used, "what it sent has another hash");
    },
  };
}
