import { ATTRIBUTE } from "./authenticated-variable.ts";
import { guid, NAMESPACE } from "./efi-guid.ts";
import { type Partition, SECTOR } from "./partition-table.ts";
import type { StoredVariable } from "./variable-store.ts";

const ACTIVE = 1;

/**
 * The firmware's own list: the loader first, and where that gives up (a kernel that is badly signed
 * or revoked, a loader that was altered) the recovery image. Without the second entry a machine with
 * a bad slot would wait for a person.
 */
export function bootVariables(
  entries: readonly { description: string; partition: Partition; number: number; path: string }[],
  at: Date,
): StoredVariable[] {
  const attributes = ATTRIBUTE.nonVolatile | ATTRIBUTE.bootServiceAccess | ATTRIBUTE.runtimeAccess;
  const namespace = NAMESPACE.global;
  const order = Buffer.alloc(entries.length * 2);
  const options = entries.map((entry, index) => {
    order.writeUInt16LE(index, index * 2);
    const name = `Boot${index.toString(16).toUpperCase().padStart(4, "0")}`;
    return { name, namespace, attributes, data: loadOption(entry), at };
  });
  return [...options, { name: "BootOrder", namespace, attributes, data: order, at }];
}

/** EFI_LOAD_OPTION (UEFI 2.10 §3.1.3) with the short form of a disk's path (§3.1.2). */
function loadOption(entry: {
  description: string;
  partition: Partition;
  number: number;
  path: string;
}): Buffer {
  const devicePath = Buffer.concat([
    hardDrive(entry.partition, entry.number),
    filePath(entry.path),
    Buffer.from([0x7f, 0xff, 4, 0]),
  ]);
  const head = Buffer.alloc(6);
  head.writeUInt32LE(ACTIVE, 0);
  head.writeUInt16LE(devicePath.length, 4);
  return Buffer.concat([head, Buffer.from(`${entry.description}\0`, "utf16le"), devicePath]);
}

/** UEFI 2.10 §10.3.5.1. */
function hardDrive(partition: Partition, number: number): Buffer {
  const node = Buffer.alloc(42);
  node[0] = 0x04;
  node[1] = 0x01;
  node.writeUInt16LE(node.length, 2);
  node.writeUInt32LE(number, 4);
  node.writeBigUInt64LE(BigInt(partition.firstByte / SECTOR), 8);
  node.writeBigUInt64LE(BigInt(partition.sizeBytes / SECTOR), 16);
  guid(partition.id).copy(node, 24);
  node[40] = 0x02;
  node[41] = 0x02;
  return node;
}

/** UEFI 2.10 §10.3.5.4. */
function filePath(path: string): Buffer {
  const name = Buffer.from(`${path.replaceAll("/", "\\")}\0`, "utf16le");
  const head = Buffer.from([0x04, 0x04, 0, 0]);
  head.writeUInt16LE(head.length + name.length, 2);
  return Buffer.concat([head, name]);
}
