import { createHash } from "node:crypto";
import fs from "node:fs";
import type { Command } from "commander";
import { applyPatch, createPatch, patchInfo } from "../../delta/index.ts";
import { describeConfig, readConfig } from "../../kernel/config.ts";
import { ARTIFACT_FORMATS, type ArtifactFormat } from "../../protocol/index.ts";
import type { CommandEnvironment } from "../command-context.ts";
import { UsageError } from "../context.ts";

/** `delta …` and `config`: what needs no platform. */
export function localCommands(program: Command, env: CommandEnvironment): void {
  const delta = program.command("delta").description("the delta codec by itself");
  delta
    .command("create <old> <new> <patch>")
    .option("--format <format>", ARTIFACT_FORMATS.join(", "), "zstd-patch")
    .option("--json", "print the figures as JSON")
    .action(async (oldFile: string, newFile: string, patchFile: string, options) => {
      const started = performance.now();
      const targetSizeBytes = fs.statSync(newFile).size;
      const out = fs.createWriteStream(patchFile);
      const patch = createPatch({
        format: formatOf(options.format),
        source: fs.readFileSync(oldFile),
        target: fs.createReadStream(newFile),
        targetSizeBytes,
      });
      for await (const chunk of patch) out.write(chunk);
      await new Promise<void>((resolve) => out.end(resolve));
      const sizeBytes = fs.statSync(patchFile).size;
      report(options.json, {
        format: options.format,
        sizeBytes,
        targetSizeBytes,
        percent: Number(((100 * sizeBytes) / Math.max(1, targetSizeBytes)).toFixed(2)),
        milliseconds: Math.round(performance.now() - started),
        peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      });
    });
  delta
    .command("apply <old> <patch> <new>")
    .option("--format <format>", ARTIFACT_FORMATS.join(", "), "zstd-patch")
    .option("--size <bytes>", "size of the result, where the patch does not carry it", Number)
    .option("--memory <bytes>", "most memory to use", Number, 1024 ** 3)
    .option("--json", "print the figures as JSON")
    .action(async (oldFile: string, patchFile: string, newFile: string, options) => {
      const started = performance.now();
      const info = await patchInfo(fs.readFileSync(patchFile));
      const expectedSizeBytes = options.size ?? info.targetSizeBytes;
      if (!expectedSizeBytes) throw new UsageError("the patch does not carry the size: add --size");
      const old = fs.openSync(oldFile, "r");
      const out = fs.openSync(newFile, "w");
      const hash = createHash("sha256");
      await applyPatch({
        format: formatOf(options.format),
        source: {
          sizeBytes: fs.fstatSync(old).size,
          async read(offset, length) {
            const buffer = Buffer.alloc(length);
            return buffer.subarray(0, fs.readSync(old, buffer, 0, length, offset));
          },
        },
        patch: fs.createReadStream(patchFile),
        expectedSizeBytes,
        maxMemoryBytes: options.memory,
        async write(chunk) {
          hash.update(chunk);
          fs.writeSync(out, chunk);
        },
      });
      fs.closeSync(old);
      fs.closeSync(out);
      report(options.json, {
        sizeBytes: expectedSizeBytes,
        sha256: hash.digest("hex"),
        milliseconds: Math.round(performance.now() - started),
        peakMemoryBytes: process.resourceUsage().maxRSS * 1024,
      });
    });
  delta
    .command("info <patch>")
    .option("--json", "print the figures as JSON")
    .action(async (patchFile: string, options) => {
      const info = await patchInfo(fs.readFileSync(patchFile));
      report(options.json, { ...info, sizeBytes: fs.statSync(patchFile).size });
    });

  program
    .command("config")
    .description("print the effective configuration, secrets masked")
    .action(() => env.output.json(describeConfig(readConfig(env.environment))));

  function report(json: boolean | undefined, figures: Record<string, unknown>): void {
    if (json) env.output.json(figures);
    else for (const [name, value] of Object.entries(figures)) env.output.print(`${name}: ${value}`);
  }
}

function formatOf(text: string): ArtifactFormat {
  if ((ARTIFACT_FORMATS as readonly string[]).includes(text)) return text as ArtifactFormat;
  throw new UsageError(`"${text}" is none of ${ARTIFACT_FORMATS.join(", ")}`);
}
