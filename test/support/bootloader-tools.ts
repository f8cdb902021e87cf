import { execFile, spawn } from "node:child_process";
import { randomBytes } from "node:crypto";
import fs from "node:fs";
import path from "node:path";
import { promisify } from "node:util";
import { sha256Of } from "../../src/simulator/index.ts";

const execute = promisify(execFile);

export async function has(...command: [string, ...string[]]): Promise<boolean> {
  const [name, ...args] = command;
  return execute(name, args).then(
    () => true,
    (error) => error.code !== "ENOENT",
  );
}

export async function run(name: string, args: readonly string[], cwd?: string): Promise<string> {
  const { stdout } = await execute(name, [...args], { cwd, maxBuffer: 1024 * 1024 });
  return stdout;
}

const DEPLOY = path.resolve(import.meta.dirname, "../../deploy/bootloaders");

/** One boot by our script for GRUB, which reads like a shell's but for `set`; returns the slot. */
export async function bootByGrub(block: string): Promise<string> {
  const script = fs
    .readFileSync(path.join(DEPLOY, "grub.cfg"), "utf8")
    .replace(/^(\s*)set (\w+=)/gm, "$1$2")
    .replace(/then set (\w+=)/g, "then $1");
  const names = ["vautn_confirmed", "vautn_trial", "vautn_tries", "vautn_abandoned"];
  const prelude = `
load_env() { ${names.map((name) => `${name}=`).join("; ")}; eval "$(grub-editenv ${block} list)"; }
save_env() {
  set -- $(for name in "$@"; do eval "echo $name=\\$$name"; done)
  grub-editenv ${block} set "$@"
}
`;
  const text = `${prelude}${script}\necho "$vautn_slot"`;
  return (await run("sh", ["-c", text])).trim();
}

/** One boot by our variables for U-Boot, whose shell is much like `sh`; counts as U-Boot does. */
export async function bootByUBoot(tool: readonly string[]): Promise<string> {
  const file = path.join(DEPLOY, "u-boot.env");
  const quoted = (text: string) => `'${text.replaceAll("'", "'\\''")}'`;
  const scripts = fs
    .readFileSync(file, "utf8")
    .split("\n")
    .filter((line) => /^(vautn_select|bootcmd|altbootcmd)=/.test(line))
    .map((line) => line.replace(/^(\w+)=(.*)$/s, (_, name, body) => `${name}=${quoted(body)}`));
  const words = tool.map(quoted).join(" ");
  const text = `
eval "$(fw_printenv ${words} | grep -E '^(vautn_(confirmed|trial|abandoned)|upgrade_available|boot(count|limit))=')"
${scripts.join("\n")}
bootargs=quiet
vautn_load='echo "$bootargs"'
setenv() { name=$1; shift; eval "$name=\\$*"; }
saveenv() {
  for name in vautn_trial vautn_abandoned upgrade_available bootcount; do
    eval "printf '%s=%s\\n' $name \\"\\$$name\\""
  done | fw_setenv ${words} -s /dev/stdin
}
run() { eval "eval \\"\\$$1\\""; }
next=bootcmd
if [ "$upgrade_available" = 1 ]; then
  bootcount=$((bootcount + 1))
  fw_setenv ${words} bootcount $bootcount
  [ "$bootcount" -gt "$bootlimit" ] && next=altbootcmd
fi
run $next
`;
  return /vautn\.slot=(\w*)/.exec(await run("sh", ["-c", text]))?.[1] ?? "";
}

/** Key and certificate that bundles are signed by. */
export async function makeSigner(folder: string, name = "signer"): Promise<void> {
  const files = ["-keyout", `${name}.key`, "-out", `${name}.pem`];
  const subject = ["-subj", `/CN=${name}`, "-addext", "keyUsage=digitalSignature"];
  const purpose = ["-addext", "extendedKeyUsage=emailProtection"];
  const kind = ["req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes"];
  await run("openssl", [...kind, ...files, ...subject, ...purpose], folder);
}

/** A .swu with one image for either slot, signed by `signer`. */
export async function makeSwu(folder: string, signer: string): Promise<string> {
  const image = randomBytes(40_000);
  fs.writeFileSync(path.join(folder, "rootfs.img"), image);
  const slot = (name: string) => `${name}: { images: ({ filename = "rootfs.img"; type = "raw";
    device = "${path.join(folder, `slot-${name}`)}"; sha256 = "${sha256Of(image)}"; }); };`;
  fs.writeFileSync(
    path.join(folder, "sw-description"),
    `software = { version = "1.1.0"; hardware-compatibility: [ "1.0" ];
      stable: { ${slot("a")} ${slot("b")} }; }\n`,
  );
  const sign = ["cms", "-sign", "-in", "sw-description", "-out", "sw-description.sig"];
  const by = ["-signer", `${signer}.pem`, "-inkey", `${signer}.key`, "-outform", "DER"];
  await run("openssl", [...sign, ...by, "-nosmimecap", "-binary"], folder);
  const list = "printf 'sw-description\\nsw-description.sig\\nrootfs.img\\n'";
  await run("sh", ["-c", `${list} | cpio -o -H crc > image.swu 2>/dev/null`], folder);
  return path.join(folder, "image.swu");
}

/** RAUC with a bootloader that is a shell script, on a bus of its own. */
export class RaucStage {
  readonly folder: string;
  readonly #children: ReturnType<typeof spawn>[] = [];

  constructor(folder: string) {
    this.folder = folder;
  }

  async prepare(): Promise<void> {
    const { folder } = this;
    const at = (name: string) => path.join(folder, name);
    for (const name of ["slot-a", "slot-b"]) fs.writeFileSync(at(name), Buffer.alloc(256 * 1024));
    fs.mkdirSync(at("mnt"));
    fs.writeFileSync(at("primary"), "a\n");
    await makeSigner(folder);
    await makeSigner(folder, "stranger");
    const slot = (index: number, name: string) =>
      `[slot.rootfs.${index}]\ndevice=${at(`slot-${name}`)}\ntype=raw\nbootname=${name}\n`;
    fs.writeFileSync(
      at("system.conf"),
      `[system]\ncompatible=vautn-test\nbootloader=custom\nstatusfile=${at("status")}
mountprefix=${at("mnt")}\n[keyring]\npath=${at("signer.pem")}
[handlers]\nbootloader-custom-backend=${at("backend.sh")}\n${slot(0, "a")}${slot(1, "b")}`,
    );
    fs.writeFileSync(
      at("backend.sh"),
      `#!/bin/sh
case "$1" in
get-primary) cat ${at("primary")};;
set-primary) echo "$2" > ${at("primary")};;
get-state) cat ${at("state-")}$2 2>/dev/null || echo good;;
set-state) echo "$3" > ${at("state-")}$2;;
esac
`,
      { mode: 0o755 },
    );
    fs.writeFileSync(
      at("bus.conf"),
      `<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig><listen>unix:path=${at("bus")}</listen><policy context="default">
<allow send_destination="*" eavesdrop="true"/><allow eavesdrop="true"/><allow own="*"/>
</policy></busconfig>`,
    );
    this.#children.push(spawn("dbus-daemon", ["--config-file", at("bus.conf"), "--nofork"]));
    await until(() => fs.existsSync(at("bus")));
  }

  /** What runs on the machine now: another boot is another service. */
  async boot(slot: string): Promise<void> {
    const { folder } = this;
    if (this.#children.length > 1) await end(this.#children.pop());
    const conf = path.join(folder, "system.conf");
    fs.writeFileSync(path.join(folder, "boot_id"), `boot-${slot}-${Date.now()}\n`);
    const args = ["-c", conf, "service", `--override-boot-slot=${slot}`];
    this.#children.push(spawn("rauc", args, { stdio: "ignore" }));
    await until(() =>
      run("rauc", ["status", "--output-format=json"]).then(
        (text) => JSON.parse(text).booted === slot,
        () => false,
      ),
    );
  }

  async bundle(signer: string): Promise<{ file: string; image: Buffer }> {
    const { folder } = this;
    const image = randomBytes(50_000);
    const content = fs.mkdtempSync(path.join(folder, "content-"));
    fs.writeFileSync(path.join(content, "rootfs.img"), image);
    fs.writeFileSync(
      path.join(content, "manifest.raucm"),
      "[update]\ncompatible=vautn-test\nversion=1.1.0\n[image.rootfs]\nfilename=rootfs.img\n",
    );
    const file = path.join(folder, `${path.basename(content)}.raucb`);
    const by = [`--cert=${signer}.pem`, `--key=${signer}.key`];
    await run("rauc", ["bundle", ...by, content, file], folder);
    return { file, image };
  }

  read(name: string): Buffer {
    return fs.readFileSync(path.join(this.folder, name));
  }

  async stop(): Promise<void> {
    for (const child of this.#children.toReversed()) await end(child);
  }
}

async function end(child: ReturnType<typeof spawn> | undefined): Promise<void> {
  if (!child || child.exitCode !== null || child.signalCode !== null) return;
  const ended = new Promise((resolve) => child.once("exit", resolve));
  child.kill("SIGKILL");
  await ended;
}

async function until(holds: () => boolean | Promise<boolean>): Promise<void> {
  for (let attempt = 0; attempt < 200; attempt += 1) {
    if (await holds()) return;
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error("it did not happen");
}
