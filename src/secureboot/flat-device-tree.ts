import { invalidContent } from "./refusals.ts";

export interface DeviceTreeNode {
  name: string;
  properties: Map<string, Buffer>;
  children: DeviceTreeNode[];
}

const MAGIC = 0xd00dfeed;
const TOKEN = { beginNode: 1, endNode: 2, property: 3, nop: 4, end: 9 };
const MAX_NODES = 10_000;
const MAX_DEPTH = 32;

/** Reads a flattened device tree, as FIT images are (Devicetree Specification 0.4 §5). */
export function readDeviceTree(bytes: Buffer): DeviceTreeNode {
  try {
    return read(bytes);
  } catch (error) {
    // What lies beyond the end of a buffer is a RangeError of Node's.
    if (error instanceof RangeError) throw invalidContent("the device tree is cut off", error);
    throw error;
  }
}

function read(bytes: Buffer): DeviceTreeNode {
  if (bytes.length < 40 || bytes.readUInt32BE(0) !== MAGIC) {
    throw invalidContent("this is no flattened device tree, and so no FIT image");
  }
  const stringsAt = bytes.readUInt32BE(12);
  let at = bytes.readUInt32BE(8);
  let nodes = 0;
  const open: DeviceTreeNode[] = [];
  const text = (from: number) => {
    const end = bytes.indexOf(0, from);
    if (end < 0) throw invalidContent("the device tree is cut off");
    return { value: bytes.toString("latin1", from, end), end: end + 1 };
  };
  const aligned = (position: number) => (position + 3) & ~3;
  for (;;) {
    const token = bytes.readUInt32BE(at);
    at += 4;
    const node = open.at(-1);
    if (token === TOKEN.beginNode) {
      const { value, end } = text(at);
      at = aligned(end);
      nodes += 1;
      if (nodes > MAX_NODES || open.length >= MAX_DEPTH) {
        throw invalidContent("the device tree has too many nodes");
      }
      const begun = { name: value, properties: new Map(), children: [] };
      node?.children.push(begun);
      open.push(begun);
    } else if (token === TOKEN.property && node) {
      const length = bytes.readUInt32BE(at);
      const name = text(stringsAt + bytes.readUInt32BE(at + 4)).value;
      if (at + 8 + length > bytes.length) throw invalidContent("the device tree is cut off");
      node.properties.set(name, bytes.subarray(at + 8, at + 8 + length));
      at = aligned(at + 8 + length);
    } else if (token === TOKEN.endNode && node) {
      open.pop();
      if (open.length === 0) return node;
    } else if (token !== TOKEN.nop) {
      throw invalidContent("the device tree's structure is broken");
    }
  }
}

export function childOf(node: DeviceTreeNode, name: string): DeviceTreeNode | undefined {
  return node.children.find((child) => child.name === name);
}

/** The text of a property without its closing zero. */
export function textOf(node: DeviceTreeNode, name: string): string | undefined {
  return node.properties.get(name)?.toString("latin1").replace(/\0$/, "");
}
