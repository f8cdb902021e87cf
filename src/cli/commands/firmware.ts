import fs from "node:fs";
import path from "node:path";
import type { Command } from "commander";
import {
  buildManifest,
  createRoot,
  generateSigningKey,
  readSigningKey,
  sign,
  verifyRelease,
} from "../../firmware/index.ts";
import { signingKeyOf } from "../../protocol/index.ts";
import { type CommandEnvironment, callFor, tenantOptions } from "../command-context.ts";
import { tableOf } from "../output.ts";

const YEAR_MS = 365 * 86_400_000;

/** `firmware …`: the pipeline from an image to a published release. */
export function firmwareCommands(program: Command, env: CommandEnvironment): void {
  const firmware = program.command("firmware").description("build, sign and publish releases");
  const passphrase = () => env.environment.VAUTN_KEY_PASSPHRASE;

  firmware
    .command("keygen <file>")
    .description("make an offline signing key (Ed25519); VAUTN_KEY_PASSPHRASE encrypts it")
    .action((file: string) => {
      const key = generateSigningKey({ passphrase: passphrase() });
      fs.writeFileSync(file, key.privateKeyPem, { mode: 0o600, flag: "wx" });
      fs.writeFileSync(`${file}.pub`, key.publicKeyPem);
      env.output.print(`key ${key.keyId.slice(0, 16)}… in ${file}; keep it off the server`);
    });

  tenantOptions(firmware.command("root").description("make and upload the tenant's trust root"))
    .requiredOption("--root-key <file>", "offline root key")
    .requiredOption("--release-key <file...>", "offline release keys")
    .option("--threshold <count>", "release keys that must sign", Number, 1)
    .action(async (options) => {
      const call = callFor(env, options);
      const read = (file: string) => readSigningKey(fs.readFileSync(file, "utf8"), passphrase());
      const director = await call.api.get(call.at("/trust/director-key"));
      const rootKey = read(options.rootKey);
      const envelope = createRoot({
        tenant: call.tenant,
        version: 1,
        expires: new Date(Date.now() + 10 * YEAR_MS).toISOString(),
        root: { keys: [signingKeyOf(rootKey)], threshold: 1 },
        release: {
          keys: options.releaseKey.map((file: string) => signingKeyOf(read(file))),
          threshold: options.threshold,
        },
        director: director.key ?? director,
      });
      await call.api.request("PUT", call.at("/trust-root"), sign(envelope, rootKey));
      env.output.print(`trust root of ${call.tenant} set. Next: vautn firmware build IMAGE …`);
    });

  tenantOptions(firmware.command("build <image>").description("make a release manifest"))
    .requiredOption("--product <product>", "product")
    .requiredOption("--version <version>", "semantic version")
    .requiredOption("--hardware <revision...>", "hardware revisions that it fits")
    .option(
      "--security-counter <number>",
      "rises when older releases must never run again",
      Number,
      1,
    )
    .option("--minimum-version <version>", "oldest version to update from")
    .option("--validity <days>", "days until devices refuse it", Number, 1825)
    .requiredOption("--out <file>", "manifest to write")
    .action(async (image: string, options) => {
      const call = callFor(env, options);
      const epoch = env.environment.SOURCE_DATE_EPOCH;
      const createdAtMs = epoch ? Number(epoch) * 1000 : Date.now();
      const manifest = await buildManifest(fs.createReadStream(image), {
        tenant: call.tenant,
        product: options.product,
        version: options.version,
        hardwareRevisions: options.hardware,
        securityCounter: options.securityCounter,
        minimumSourceVersion: options.minimumVersion ?? null,
        imageName: path.basename(image),
        createdAtMs,
        validityDays: options.validity,
      });
      fs.writeFileSync(options.out, `${JSON.stringify(manifest, null, 2)}\n`);
      env.output.print(
        `${options.out}: unsigned. Next: vautn firmware sign ${options.out} --key FILE`,
      );
    });

  firmware
    .command("sign <manifest>")
    .description("add a signature")
    .requiredOption("--key <file>", "offline release key")
    .action((manifest: string, options: { key: string }) => {
      const envelope = JSON.parse(fs.readFileSync(manifest, "utf8"));
      const key = readSigningKey(fs.readFileSync(options.key, "utf8"), passphrase());
      const signed = sign(envelope, key);
      fs.writeFileSync(manifest, `${JSON.stringify(signed, null, 2)}\n`);
      env.output.print(`${signed.signatures.length} signature(s) on ${manifest}`);
    });

  tenantOptions(firmware.command("verify <manifest>").description("what the platform would say"))
    .option("--image <file>", "also compare the image")
    .action(async (manifest: string, options) => {
      const call = callFor(env, options);
      const root = await call.api.get(call.at("/trust-root"));
      const result = await verifyRelease(JSON.parse(fs.readFileSync(manifest, "utf8")), root, {
        nowMs: Date.now(),
        ...(options.image ? { image: fs.createReadStream(options.image) } : {}),
      });
      if (call.json) env.output.json(result);
      else if (result.accepted) env.output.print(`good: ${result.signers.length} signers`);
      if (!result.accepted) throw new Error(result.reason ?? "refused");
    });

  tenantOptions(firmware.command("publish <manifest>").description("upload a signed release"))
    .requiredOption("--image <file>", "the image")
    .action(async (manifest: string, options) => {
      const call = callFor(env, options);
      const envelope = JSON.stringify(JSON.parse(fs.readFileSync(manifest, "utf8")));
      const release = await call.api.request(
        "POST",
        call.at("/releases"),
        fs.readFileSync(options.image),
        {
          "content-type": "application/octet-stream",
          "x-vautn-manifest": Buffer.from(envelope).toString("base64url"),
        },
      );
      if (call.json) env.output.json(release);
      else env.output.print(`published ${release.version}. Next: vautn rollout create …`);
    });

  tenantOptions(firmware.command("list").description("published releases")).action(
    async (options) => {
      const call = callFor(env, options);
      const items = await call.api.list(call.at("/releases"));
      if (call.json) env.output.json(items);
      else if (items.length === 0)
        env.output.print("No releases. Next: vautn firmware build IMAGE");
      else {
        const rows = items.map((r) => [r.id, r.product, r.version, r.status, r.publishedAt]);
        env.output.print(tableOf(["ID", "PRODUCT", "VERSION", "STATUS", "PUBLISHED"], rows));
      }
    },
  );
  tenantOptions(firmware.command("yank <id>").description("withdraw a release"))
    .requiredOption("--reason <reason>", "why")
    .action(async (id: string, options) => {
      const call = callFor(env, options);
      await call.api.post(call.at(`/releases/${id}/yank`), { reason: options.reason });
      env.output.print(`withdrawn ${id}`);
    });
}
