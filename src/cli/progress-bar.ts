import type { Cli } from "./cli.ts";

export interface ProgressBar {
  /** The stage's name and the share of it that is done, 0 to 1. */
  update(stage: string, share: number): void;
  end(): void;
}

const STEPS = 100;

/** Drawn on a terminal; nothing where nobody watches. */
export async function progressBar(cli: Cli, title: string): Promise<ProgressBar> {
  if (!cli.io.isInteractive) return { update() {}, end() {} };
  const { SingleBar } = await import("cli-progress");
  const format = `${title} {stage} {bar} {percentage} %`;
  const drawn = new SingleBar({ format, clearOnComplete: true, hideCursor: true });
  drawn.start(STEPS, 0, { stage: "" });
  return {
    update: (stage, share) => drawn.update(Math.round(share * STEPS), { stage }),
    end: () => drawn.stop(),
  };
}
