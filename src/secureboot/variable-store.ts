import { efiTime } from "./authenticated-variable.ts";
import { guid } from "./efi-guid.ts";
import { invalidContent } from "./refusals.ts";

/** A variable as it stands in a machine's flash. */
export interface StoredVariable {
  name: string;
  namespace: string;
  attributes: number;
  data: Buffer;
  at: Date;
}

const STORE = "aaf32c78-947b-439a-a180-2e144ec37792";
const VARIABLE_MARK = 0x55aa;
const VARIABLE_HEADER_BYTES = 60;
const ADDED = 0x3f;
const MAX_VARIABLES = 1_000;

/**
 * Writes variables into an image of EDK2's authenticated variable store (OVMF_VARS): a machine that
 * comes from the factory with its keys in. The template has to be one without the same variables.
 */
export function fillVariableStore(template: Buffer, variables: readonly StoredVariable[]): Buffer {
  const store = Buffer.from(template);
  if (store.toString("latin1", 40, 44) !== "_FVH") throw invalidContent("no variable store");
  const headerBytes = store.readUInt16LE(48);
  if (!store.subarray(headerBytes, headerBytes + 16).equals(guid(STORE))) {
    throw invalidContent("no store of authenticated variables");
  }
  const end = headerBytes + store.readUInt32LE(headerBytes + 16);
  let position = endOfVariables(store, headerBytes + 28);
  for (const variable of variables) {
    const name = Buffer.from(`${variable.name}\0`, "utf16le");
    const header = Buffer.alloc(VARIABLE_HEADER_BYTES);
    header.writeUInt16LE(VARIABLE_MARK, 0);
    header[2] = ADDED;
    header.writeUInt32LE(variable.attributes, 4);
    efiTime(variable.at).copy(header, 16);
    header.writeUInt32LE(name.length, 36);
    header.writeUInt32LE(variable.data.length, 40);
    guid(variable.namespace).copy(header, 44);
    const whole = Buffer.concat([header, name, variable.data]);
    if (position + whole.length > end) throw invalidContent("the variable store is full");
    whole.copy(store, position);
    position = (position + whole.length + 3) & ~3;
  }
  return store;
}

/** What an image of a store holds at present. */
export function readVariableStore(store: Buffer): { name: string; data: Buffer }[] {
  const found: { name: string; data: Buffer }[] = [];
  let at = store.readUInt16LE(48) + 28;
  for (; found.length < MAX_VARIABLES && store.readUInt16LE(at) === VARIABLE_MARK; ) {
    const nameBytes = store.readUInt32LE(at + 36);
    const dataBytes = store.readUInt32LE(at + 40);
    const nameAt = at + VARIABLE_HEADER_BYTES;
    if (store[at + 2] === ADDED) {
      const name = store.toString("utf16le", nameAt, nameAt + nameBytes - 2);
      found.push({
        name,
        data: store.subarray(nameAt + nameBytes, nameAt + nameBytes + dataBytes),
      });
    }
    at = (nameAt + nameBytes + dataBytes + 3) & ~3;
  }
  return found;
}

function endOfVariables(store: Buffer, start: number): number {
  let at = start;
  for (let count = 0; count < MAX_VARIABLES; count += 1) {
    if (store.readUInt16LE(at) !== VARIABLE_MARK) return at;
    at += VARIABLE_HEADER_BYTES + store.readUInt32LE(at + 36) + store.readUInt32LE(at + 40);
    at = (at + 3) & ~3;
  }
  throw invalidContent("the variable store holds too many variables");
}
