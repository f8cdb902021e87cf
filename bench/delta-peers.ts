// The other tools that bench/delta.ts sets beside ours: which of them are installed, and what one takes to make a patch.
import { spawnSync } from "node:child_process";
import fs from "node:fs";

export interface PairFiles {
  source: string;
  target: string;
  patch: string;
}

interface Peer {
  name: string;
  program: string;
  /** Arguments that make `patch` from `source` and `target`, as small as the tool can. */
  create(files: PairFiles): string[];
}

export interface PeerResult {
  name: string;
  sizeBytes: number;
  /** Null for a recorded size. */
  cpuMs: number | null;
}

export const HDIFF = "hdiffz -SD lzma2";

const PEERS: readonly Peer[] = [
  {
    name: "zstd -19 --patch-from",
    program: "zstd",
    create: ({ source, target, patch }) => {
      const options = ["-19", "--long=27", "-q", "-f", `--patch-from=${source}`];
      return [...options, target, "-o", patch];
    },
  },
  {
    name: "xdelta3 -9",
    program: "xdelta3",
    create: ({ source, target, patch }) => {
      const options = ["-9", "-S", "lzma", "-B", String(512 * 1024 ** 2), "-f", "-e"];
      return [...options, "-s", source, target, patch];
    },
  },
  {
    name: "bsdiff",
    program: "bsdiff",
    create: ({ source, target, patch }) => [source, target, patch],
  },
  {
    name: HDIFF,
    program: "hdiffz",
    create: ({ source, target, patch }) => ["-SD", "-c-lzma2-9", "-f", source, target, patch],
  },
];

/** The shell's own `time` counts the processor time of what it started. */
const TIMED = 'TIMEFORMAT="%U %S"; time "$0" "$@" >/dev/null 2>/dev/null';

/** Names on standard error those that are not there. */
export function installedPeers(): readonly Peer[] {
  return PEERS.filter(({ name, program }) => {
    // Some print a usage text and fail; what counts is that they can be started.
    const isThere = spawnSync(program, ["--version"], { stdio: "ignore" }).error === undefined;
    if (!isThere) console.error(`skipped ${name}: ${program} is not on the PATH`);
    return isThere;
  });
}

export function runPeer(peer: Peer, files: PairFiles): PeerResult | undefined {
  fs.rmSync(files.patch, { force: true });
  const done = spawnSync("bash", ["-c", TIMED, peer.program, ...peer.create(files)], {
    encoding: "utf8",
  });
  if (done.status !== 0) {
    console.error(`skipped ${peer.name} for this pair: it ended with status ${done.status}`);
    return undefined;
  }
  const [user, system] = done.stderr.trim().split(" ").map(Number) as [number, number];
  return {
    name: peer.name,
    sizeBytes: fs.statSync(files.patch).size,
    cpuMs: (user + system) * 1000,
  };
}
