import { execFileSync, spawnSync } from "node:child_process";
import fs from "node:fs";
import path from "node:path";
import { programWithLibraries, type RootImage, rootImage } from "../../../src/secureboot/index.ts";

const ROOT = path.resolve(import.meta.dirname, "../../..");
const APPLETS =
  "sh mount umount ip poweroff reboot sync cat echo sleep test grep ls mkdir true false date";

/**
 * First program of the root image: network, agent, and what the agent asks for at its end. What a
 * compiler at run time makes would have to be translated once more by the emulator: --jitless.
 */
const INIT = `#!/bin/sh
export PATH=/bin:/sbin:/usr/bin HOME=/tmp
mount -t tmpfs tmpfs /tmp
ip link set lo up
ip link set eth0 up 2>/dev/null && ip addr add 10.0.2.15/24 dev eth0 && ip route add default via 10.0.2.2
[ -e /etc/vautn/dies ] && exit 1
echo "ROOT is up" > /dev/console
/bin/node --jitless /opt/vautn-agent.mjs run --config /etc/vautn/agent.json > /dev/console 2>&1
status=$?
echo "AGENT ended with $status" > /dev/console
sync; umount /data; umount /efi
[ $status = 75 ] && reboot -f
poweroff -f
`;

export interface DeviceSystemOptions {
  folder: string;
  name: string;
  trustRoot: unknown;
  selfTestStatus?: number;
  /** Slot A is known from the factory on, as an update needs it. */
  factory?: boolean;
  /** The first program ends at once, and the kernel with it. */
  dies?: boolean;
}

/** A root image as a maker of devices would build it: the agent in it and little else. */
export function buildDeviceSystem(options: DeviceSystemOptions): RootImage {
  const tree = path.join(options.folder, `${options.name}.tree`);
  const write = (name: string, content: string | Buffer, mode = 0o644) => {
    const file = path.join(tree, name);
    fs.mkdirSync(path.dirname(file), { recursive: true });
    fs.writeFileSync(file, content, { mode });
  };
  for (const folder of ["proc", "sys", "dev", "efi", "data", "tmp", "etc", "sbin"]) {
    fs.mkdirSync(path.join(tree, folder), { recursive: true });
  }
  write("bin/busybox", fs.readFileSync("/bin/busybox"), 0o755);
  for (const applet of APPLETS.split(" ")) {
    fs.symlinkSync("busybox", path.join(tree, "bin", applet));
  }
  for (const { path: name, content } of programWithLibraries("/usr/bin/chattr", "e2fsprogs")) {
    write(name, content, 0o755);
  }
  const node = strippedNode(options.folder);
  for (const { path: name, content } of programWithLibraries(node, "nodejs")) {
    write(name === node.slice(1) ? "bin/node" : name, content, 0o755);
  }
  write("opt/vautn-agent.mjs", fs.readFileSync(path.join(ROOT, "dist/vautn-agent.mjs")));
  write("sbin/init", INIT, 0o755);
  write("usr/libexec/self-test", `#!/bin/sh\nexit ${options.selfTestStatus ?? 0}\n`, 0o755);
  write("etc/vautn/agent.json", JSON.stringify(agentConfig(options.factory ?? false)));
  write("etc/vautn/trust-root.json", JSON.stringify(options.trustRoot));
  write("etc/vautn/name", options.name);
  if (options.dies) write("etc/vautn/dies", "");
  const image = path.join(options.folder, `${options.name}.squashfs`);
  const settings = ["-comp", "zstd", "-Xcompression-level", "1", "-all-root", "-no-xattrs"];
  execFileSync("mksquashfs", [tree, image, ...settings, "-noappend", "-quiet", "-no-progress"], {
    env: { ...process.env, SOURCE_DATE_EPOCH: "1577836800" },
    stdio: "ignore",
  });
  fs.rmSync(tree, { recursive: true });
  return rootImage(image);
}

function agentConfig(factory: boolean) {
  return {
    provisioning: "/data/provisioning",
    data: "/data/agent",
    trustRoot: "/etc/vautn/trust-root.json",
    bootloader: { kind: "systemd-boot", systemPartition: "/efi" },
    ...(factory ? { factory: { manifest: "/data/factory.manifest.json" } } : {}),
    slotSizeBytes: 512 * 1024 ** 2,
    selfTest: ["/usr/libexec/self-test"],
    heartbeatIntervalSeconds: 5,
    trialTries: 3,
  };
}

/** Node without symbols, where `strip` is at hand: a third less to read for a slow machine. */
function strippedNode(folder: string): string {
  const file = path.join(folder, "node");
  if (!fs.existsSync(file)) {
    const done = spawnSync("strip", ["-o", file, process.execPath]);
    if (done.status !== 0) fs.copyFileSync(process.execPath, file);
    fs.chmodSync(file, 0o755);
  }
  return file;
}
